"""Stepping in the backward pass is the ordinary loop, without its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, Options, bits_of, kinds, same_bits
from tests.torch.integrations.tied import batches, built, forms, loss_of, make
from torch import Tensor
from torch.nn import Module

from mementum.torch import AdaX, FamilyOptimizer, param_groups, step_in_backward


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
