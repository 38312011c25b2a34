"""Stepping in the backward pass is the ordinary loop, without its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, Options, bits_of, kinds, same_bits
from torch import Tensor
from torch.nn import Module

from mementum.torch import AdamW, AdaX, FamilyOptimizer, param_groups, step_in_backward

FORMS: dict[str, Options] = {
    "default": {},
    "foreach": {"foreach": True},
    "loop": {"foreach": False, "fused": False},
    "capturable": {"capturable": True},
    "bfloat16": {"state_dtype": torch.bfloat16},
    "float8": {"state_dtype": "float8"},
    "maximize": {"maximize": True},
}
forms = pytest.mark.parametrize("flags", FORMS.values(), ids=FORMS.keys())


class Tied(Module):
    """A model whose first and last layer are one, with a layer of 4,096 elements."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(64, 64)
        self.norm = torch.nn.LayerNorm(64)
        self.last = torch.nn.Linear(64, 64, bias=False)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.norm(self.first(x))))


def built(kind: Callable[[], Module] = Tied) -> Module:
    torch.manual_seed(0)
    return kind()


def batches(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, 64, generator=generator) for _ in range(count)]


def loss_of(model: Module, batch: Tensor) -> Tensor:
    return (model(batch) - batch).square().mean()


def make(member: Member, **flags: Any) -> Callable[[Any], FamilyOptimizer]:
    return lambda params: member(params, lr=0.01, **flags)


@kinds
@forms
def test_it_is_the_ordinary_loop(member: Member, flags: Options) -> None:
    plain, model = built(), built()
    optimizer = member(plain.named_parameters(), lr=0.01, **flags)
    steps = step_in_backward(model, make(member, **flags))
    for batch in batches(4):
        optimizer.zero_grad()
        loss_of(plain, batch).backward()
        optimizer.step()
        loss_of(model, batch).backward()
        assert all(param.grad is None for param in model.parameters())
    assert same_bits(bits_of(steps.optimizer), bits_of(optimizer))


@kinds
def test_calling_the_step_afterwards_changes_nothing(member: Member) -> None:
    model = built()
    steps = step_in_backward(model, make(member))
    loss_of(model, batches(1)[0]).backward()
    before = bits_of(steps.optimizer)
    steps.optimizer.step()
    steps.optimizer.zero_grad()
    assert same_bits(bits_of(steps.optimizer), before)


@kinds
@forms
def test_micro_batches_add_up(member: Member, flags: Options) -> None:
    plain, model = built(), built()
    optimizer = member(plain.named_parameters(), lr=0.01, **flags)
    steps = step_in_backward(model, make(member, **flags))
    for _ in range(2):
        optimizer.zero_grad()
        *earlier, last = batches(3)
        for batch in (*earlier, last):
            loss_of(plain, batch).backward()
        optimizer.step()
        with steps.accumulate():
            for batch in earlier:
                loss_of(model, batch).backward()
        loss_of(model, last).backward()
    assert same_bits(bits_of(steps.optimizer), bits_of(optimizer))


def test_what_only_earlier_micro_batches_reached_is_left_to_the_step() -> None:
    model = torch.nn.ModuleList([torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)])
    steps = step_in_backward(model, make(AdaX))
    with steps.accumulate():
        model[0](torch.ones(1, 2)).sum().backward()
    model[1](torch.ones(1, 2)).sum().backward()
    assert model[0].weight not in steps.optimizer.state
    steps.optimizer.step()
    counts = [steps.optimizer.state[p]["step"] for p in model.parameters()]
    assert counts == [1, 1, 1, 1]


@kinds
def test_schedulers_see_one_optimizer(member: Member) -> None:
    plain, model = built(), built()
    optimizer = member(plain.named_parameters(), lr=0.01)
    steps = step_in_backward(model, make(member))
    schedulers = [
        torch.optim.lr_scheduler.ExponentialLR(each, 0.5)
        for each in (optimizer, steps.optimizer)
    ]
    for batch in batches(3):
        optimizer.zero_grad()
        loss_of(plain, batch).backward()
        optimizer.step()
        loss_of(model, batch).backward()
        steps.optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert same_bits(bits_of(steps.optimizer), bits_of(optimizer))


@kinds
@forms
def test_a_state_dict_continues_the_run(member: Member, flags: Options) -> None:
    model = built()
    steps = step_in_backward(model, make(member, **flags))
    first, second = batches(2)
    loss_of(model, first).backward()
    other = built()
    other.load_state_dict(model.state_dict())
    resumed = step_in_backward(other, make(member, **flags))
    resumed.optimizer.load_state_dict(steps.optimizer.state_dict())
    loss_of(model, second).backward()
    loss_of(other, second).backward()
    assert same_bits(bits_of(resumed.optimizer), bits_of(steps.optimizer))
    names = steps.optimizer.state_dict()["param_groups"][0]["param_names"]
    assert names == ["first.weight", "first.bias", "norm.weight", "norm.bias"]


@kinds
def test_groups_keep_their_options(member: Member) -> None:
    plain, model = built(), built()

    def grouped(model: Module) -> Any:
        return param_groups(model, 0.1, lr=0.01, layer_decay=0.5, layers=["first"])

    optimizer = member(grouped(plain))
    steps = step_in_backward(model, lambda _: member(grouped(model)))
    for batch in batches(3):
        optimizer.zero_grad()
        loss_of(plain, batch).backward()
        optimizer.step()
        loss_of(model, batch).backward()
    assert len(optimizer.param_groups) > 2
    assert same_bits(bits_of(steps.optimizer), bits_of(optimizer))


@kinds
def test_removed_it_steps_no_more(member: Member) -> None:
    model = built()
    with step_in_backward(model, make(member)) as steps:
        loss_of(model, batches(1)[0]).backward()
    before = bits_of(steps.optimizer)
    loss_of(model, batches(1)[0]).backward()
    assert all(param.grad is not None for param in model.parameters())
    assert same_bits(bits_of(steps.optimizer), before)
    steps.optimizer.step()
    assert not same_bits(bits_of(steps.optimizer), before)


@kinds
def test_state_replaced_while_it_stepped_is_what_the_step_continues(
    member: Member,
) -> None:
    plain, model = built(), built()
    for train, backward in ((plain, False), (model, True)):
        optimizer = member(train.named_parameters(), lr=0.01)
        for batch in batches(3):
            optimizer.zero_grad()
            loss_of(train, batch).backward()
            optimizer.step()
        optimizer.zero_grad()
        for param, kept in optimizer.state.items():
            optimizer.state[param] = {name: 2 * value for name, value in kept.items()}
        if backward:
            with step_in_backward(train, lambda params, same=optimizer: same):
                loss_of(train, batches(4)[3]).backward()
        else:
            loss_of(train, batches(4)[3]).backward()
            optimizer.step()
            optimizer.zero_grad()
        loss_of(train, batches(5)[4]).backward()
        optimizer.step()
    ends = [[p.detach() for p in trained.parameters()] for trained in (plain, model)]
    assert same_bits(*ends)


@kinds
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip_norm", 1.0),
        ("nonfinite", "skip"),
        ("nonfinite", "raise"),
        ("differentiable", True),
    ],
)
def test_what_needs_all_gradients_is_refused(
    member: Member, name: str, value: Any
) -> None:
    message = rf"^{member.__name__}: {name} is {value!r} in step_in_backward, but"
    model = built()
    with pytest.raises(ValueError, match=message):
        step_in_backward(model, make(member, **{name: value}))
    assert all(not param._post_accumulate_grad_hooks for param in model.parameters())
    if name != "differentiable":
        steps = step_in_backward(model, make(member))
        steps.optimizer.param_groups[0][name] = value
        before = bits_of(steps.optimizer)
        with pytest.raises(ValueError, match=message):
            loss_of(model, batches(1)[0]).backward()
        assert same_bits(bits_of(steps.optimizer), before)


def regroup(optimizer: FamilyOptimizer) -> None:
    """Move the first parameter into a group of its own, ahead of the others."""
    (group,) = optimizer.param_groups
    first = {**group, "params": [group["params"].pop(0)]}
    if "param_names" in group:
        first["param_names"] = [group["param_names"].pop(0)]
    optimizer.param_groups.insert(0, first)


def reorder(optimizer: FamilyOptimizer) -> None:
    for option in {"params", "param_names"} & optimizer.param_groups[0].keys():
        optimizer.param_groups[0][option].reverse()


@kinds
@forms
@pytest.mark.parametrize("named", [True, False], ids=["named", ""])
@pytest.mark.parametrize("edit", [reorder, regroup], ids=lambda edit: edit.__name__)
def test_groups_may_be_edited(
    member: Member,
    flags: Options,
    named: bool,
    edit: Callable[[FamilyOptimizer], None],
) -> None:
    def made(params: Any) -> FamilyOptimizer:
        given = params if named else [param for _, param in params]
        return member(given, lr=0.01, **flags)

    plain, model = built(), built()
    optimizer = made(plain.named_parameters())
    steps = step_in_backward(model, made)
    for number, batch in enumerate(batches(3)):
        if number == 1:
            edit(optimizer)
            edit(steps.optimizer)
        optimizer.zero_grad()
        loss_of(plain, batch).backward()
        optimizer.step()
        loss_of(model, batch).backward()
        assert all(param.grad is None for param in model.parameters())
    assert same_bits(bits_of(steps.optimizer), bits_of(optimizer))


@kinds
@pytest.mark.parametrize("trained", [False, True], ids=["new", "trained"])
def test_another_storage_is_refused(member: Member, trained: bool) -> None:
    model = built()
    steps = step_in_backward(model, make(member))
    if trained:
        loss_of(model, batches(1)[0]).backward()
    before = bits_of(steps.optimizer)
    steps.optimizer.param_groups[0]["state_dtype"] = "bfloat16"
    message = rf"^{member.__name__}: state_dtype has become 'bfloat16', and the moments"
    with pytest.raises(ValueError, match=message):
        loss_of(model, batches(1)[0]).backward()
    assert same_bits(bits_of(steps.optimizer), before)


@kinds
def test_a_parameter_that_has_left_keeps_its_gradient(member: Member) -> None:
    model = built()
    steps = step_in_backward(model, make(member))
    group = steps.optimizer.param_groups[0]
    gone, *others = list(group["params"])
    group["params"].pop(0)
    group["param_names"].pop(0)
    before = gone.detach().clone(), [each.detach().clone() for each in others]
    loss_of(model, batches(1)[0]).backward()
    assert gone.grad is not None
    assert torch.equal(gone, before[0])
    for each, old in zip(others, before[1], strict=True):
        assert each.grad is None
        assert not torch.equal(each, old)


@kinds
def test_a_scaler_is_refused(member: Member) -> None:
    model = built()
    steps = step_in_backward(model, make(member))
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(loss_of(model, batches(1)[0])).backward()
    message = rf"^{member.__name__}: a GradScaler knows"
    with pytest.raises(RuntimeError, match=message):
        scaler.step(steps.optimizer)


def test_what_is_no_optimizer_of_ours_is_refused() -> None:
    with pytest.raises(TypeError, match="make_optimizer returned SGD"):
        step_in_backward(built(), torch.optim.SGD)  # type: ignore[arg-type]
    stranger = torch.ones(3, requires_grad=True)
    message = "parameter 'x' is not the model's"
    with pytest.raises(ValueError, match=message):
        step_in_backward(built(), lambda params: AdamW([*params, ("x", stranger)]))


def test_arguments_of_other_kinds_are_refused() -> None:
    model: Any = [torch.nn.Parameter(torch.ones(3))]
    with pytest.raises(TypeError, match=r"^step_in_backward: model is list"):
        step_in_backward(model, make(AdaX))
    optimizer: Any = AdaX(built().parameters())
    message = "^step_in_backward: make_optimizer is AdaX; it is a function"
    with pytest.raises(TypeError, match=message):
        step_in_backward(built(), optimizer)


def test_a_wrapper_that_adds_up_gradients_later_is_refused() -> None:
    class DistributedDataParallel(Module):
        pass

    with pytest.raises(ValueError, match="the model is a DistributedDataParallel"):
        step_in_backward(DistributedDataParallel(), make(AdaX))


def test_frozen_parameters_are_left_alone() -> None:
    model = built()
    model.norm.requires_grad_(False)  # type: ignore[union-attr,operator]
    steps = step_in_backward(model, make(AdaX))
    loss_of(model, batches(1)[0]).backward()
    assert len(steps.optimizer.state) == 2


def watched(model: Module) -> list[int]:
    """Return a list that takes in, at each gradient, the bytes of all there are."""
    held: list[int] = []
    every = list(model.parameters())

    def count(_: Tensor) -> None:
        held.append(sum(p.grad.nbytes for p in every if p.grad is not None))

    for param in every:
        param.register_post_accumulate_grad_hook(count)
    return held


@kinds
def test_one_gradient_exists_at_a_time(member: Member) -> None:
    def deep() -> Module:
        layers = [torch.nn.Linear(64, 64) for _ in range(16)]
        return torch.nn.Sequential(*layers)

    plain, model = built(deep), built(deep)
    # What counts comes before the step, and sees each gradient before it is freed.
    kept, freed = watched(plain), watched(model)
    step_in_backward(model, make(member))
    for each in (plain, model):
        loss_of(each, batches(1)[0]).backward()
    assert max(kept) == sum(p.nbytes for p in plain.parameters())
    assert max(freed) == max(p.nbytes for p in model.parameters())


@kinds
def test_a_second_optimizer_of_the_same_parameters_is_refused(member: Member) -> None:
    model = built()
    steps = step_in_backward(model, make(member))
    message = rf"'first.weight' is stepped in the .* already, by {member.__name__}"
    with pytest.raises(ValueError, match=message):
        step_in_backward(model, make(member))
    loss_of(model, batches(1)[0]).backward()
    assert steps.optimizer.state
    steps.remove()
    again = step_in_backward(model, make(member))
    loss_of(model, batches(1)[0]).backward()
    assert again.optimizer.state


@kinds
def test_names_that_outnumber_the_parameters_are_refused(member: Member) -> None:
    model = built()
    optimizer = step_in_backward(model, make(member)).optimizer
    optimizer.param_groups[0]["param_names"].pop()
    message = rf"^{member.__name__}: a group has 4 params and 3 param_names"
    with pytest.raises(ValueError, match=message):
        loss_of(model, batches(1)[0]).backward()
    assert not optimizer.state
