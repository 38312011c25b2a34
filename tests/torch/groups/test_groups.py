"""Parameter groups, dtypes side by side, closures: what torch's users rely on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.torch.cases import (
    COMPILED,
    COMPUTED,
    EAGER,
    PATHS,
    Member,
    Options,
    bits_of,
    drive,
    give,
    gradients,
    kinds,
    members,
    parameters,
    paths,
    run,
    same_bits,
    twins,
)

STORED = {name: {"state_dtype": name} for name in ("bfloat16", "float8")}


@kinds
@paths()
def test_a_group_has_its_own_hyperparameters(member: Member, flags: Options) -> None:
    start = parameters(shapes=[(4,), (3,), (2,)])
    grads = gradients(start, 10)
    own = [{"lr": 0.01}, {"weight_decay": 0.3}, {"eps": 0.1, "maximize": True}]
    params = twins(start)
    groups = [{"params": [p], **o} for p, o in zip(params, own, strict=True)]
    optimizer = member(groups, lr=0.02, **flags)
    drive(optimizer, params, grads)
    for i, (param, options) in enumerate(zip(params, own, strict=True)):
        alone = [[step[i]] for step in grads]
        (expected,), _ = run(
            member, [start[i]], alone, **({"lr": 0.02} | options | flags)
        )
        assert same_bits(param, expected)


@members
@paths(COMPUTED)
def test_a_group_with_a_vanishing_rate_stays(member: Member, flags: Options) -> None:
    still, moving = twins(parameters(shapes=[(4,), (4,)]))
    before = still.detach().clone(), moving.detach().clone()
    groups = [{"params": [still], "lr": 1e-28}, {"params": [moving]}]
    optimizer = member(groups, lr=0.01, **flags)
    drive(optimizer, [still, moving], gradients([still, moving], 5))
    assert same_bits(still, before[0])
    assert not torch.equal(moving, before[1])


@kinds
@paths()
def test_a_group_added_in_training_starts_then(member: Member, flags: Options) -> None:
    old, new = parameters(shapes=[(4,), (3,)])
    grads = gradients([old, new], 10)
    params = twins([old, new])
    optimizer = member([params[0]], **flags)
    drive(optimizer, [params[0]], [[a] for a, _ in grads[:4]])
    optimizer.add_param_group({"params": params[1], "lr": 0.05})
    drive(optimizer, params, grads[4:])
    (first,), _ = run(member, [old], [[a] for a, _ in grads], **flags)
    (second,), _ = run(member, [new], [[b] for _, b in grads[4:]], lr=0.05, **flags)
    assert same_bits(params, [first, second])


@kinds
@paths()
def test_dtypes_can_be_mixed(member: Member, flags: Options) -> None:
    dtypes = [torch.float32, torch.bfloat16, torch.float64, torch.float16]
    dtypes += [torch.complex64, torch.float32, torch.complex128]
    start = [parameters(d, [(5,)], seed=i)[0] for i, d in enumerate(dtypes)]
    grads = gradients(start, 8)
    together, optimizer = run(member, start, grads, **flags)
    for i, param in enumerate(together):
        alone = [[step[i]] for step in grads]
        (expected,), _ = run(member, [start[i]], alone, **flags)
        assert same_bits(param, expected)
        wide = torch.promote_types(param.dtype, torch.float32)
        assert optimizer.state[param]["square"].dtype == wide


@kinds
@paths()
def test_a_closure_is_run_once_with_gradients(member: Member, flags: Options) -> None:
    (param,) = twins(parameters(shapes=[(4,)]))
    (other,) = twins([param])
    optimizer, plain = member([param], **flags), member([other], **flags)
    calls = []

    def closure() -> torch.Tensor:
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        calls.append(loss.item())
        return loss

    for _ in range(3):
        with torch.no_grad():
            loss = optimizer.step(closure)
        assert loss is not None
        assert loss.item() == calls[-1]
        give([other], [2 * other.detach()])
        assert plain.step() is None
    assert len(calls) == 3
    assert same_bits(param, other)


@kinds
@pytest.mark.parametrize("enabled", [False, True])
def test_the_grad_mode_is_left_as_it_was(member: Member, enabled: bool) -> None:
    (param,) = twins(parameters(shapes=[(4,)]))
    optimizer = member([param])
    param.grad = torch.ones(4)
    with torch.set_grad_enabled(enabled):
        optimizer.step()
        assert torch.is_grad_enabled() == enabled
        param.grad = torch.ones(4).to_sparse()
        with pytest.raises(RuntimeError):
            optimizer.step()
        assert torch.is_grad_enabled() == enabled
    moments = optimizer.state[param]["momentum"], optimizer.state[param]["square"]
    assert not any(moment.requires_grad for moment in moments)


@members
@paths(COMPUTED)
def test_zero_gradients_move_nothing_without_decay(
    member: Member, flags: Options
) -> None:
    start = parameters()
    zeros = [[torch.zeros_like(p) for p in start]] * 3
    params, _ = run(member, start, zeros, weight_decay=0.0, **flags)
    assert same_bits(params, start)


@kinds
@paths(EAGER)
def test_tensor_rates_of_one_element_are_plain_rates(
    member: Member, flags: Options
) -> None:
    start = parameters()
    grads = gradients(start, 5)
    plain, _ = run(member, start, grads, lr=0.0078125, **flags)
    for shape in ((), (1,), (1, 1)):
        rate = torch.full(shape, 0.0078125)
        params, _ = run(member, start, grads, lr=rate, **flags)
        assert same_bits(params, plain)
    # As torch: the type is right, the value is not.
    for many in (torch.tensor([0.1, 0.1]), torch.ones(0)):
        with pytest.raises(ValueError, match="one element"):
            member(twins(start), lr=many, **flags)


@kinds
@paths(PATHS)
def test_a_tensor_rate_is_read_at_every_step(member: Member, flags: Options) -> None:
    start = parameters(shapes=[(4,)])
    grads = gradients(start, 2)
    rate = torch.tensor(0.5)
    params = twins(start)
    optimizer = member(params, lr=rate, **flags)
    drive(optimizer, params, grads[:1])
    rate.fill_(0.25)
    drive(optimizer, params, grads[1:])
    others = twins(start)
    other = member(others, lr=0.5, **flags)
    drive(other, others, grads[:1])
    other.param_groups[0]["lr"] = 0.25
    drive(other, others, grads[1:])
    assert same_bits(params, others)


@kinds
def test_params_are_taken_from_a_generator_and_names_are_kept(member: Member) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    member(p for p in model.parameters())
    optimizer = member(model.named_parameters())
    names = [name for name, _ in model.named_parameters()]
    assert optimizer.param_groups[0]["param_names"] == names
    assert [name for name, _ in optimizer.named_params()] == [
        f"parameter {name!r}" for name in names
    ]
    for bad in (model.weight if hasattr(model, "weight") else torch.ones(2), 3):
        with pytest.raises(TypeError):
            member(bad)
    with pytest.raises(ValueError, match="empty parameter list"):
        member([])
    mixed = [("w", torch.ones(2)), torch.ones(3)]
    with pytest.raises(ValueError, match="with/without names"):
        member(mixed)


NO_PARAMETERS: dict[str, tuple[Callable[[], Any], str]] = {
    "a module": (lambda: torch.nn.Linear(2, 2), "model.named_parameters"),
    "a tensor": (lambda: torch.ones(2, requires_grad=True), "list"),
    "a word": (lambda: "weight", "model.parameters"),
    "bytes": (lambda: b"weight", "model.parameters"),
    "nothing": (lambda: None, "model.parameters"),
    "a number": (lambda: 3, "model.parameters"),
    "names": (lambda: ["weight", "bias"], "'weight'"),
    "modules": (lambda: [torch.nn.Linear(2, 2)], "Linear"),
    "lists": (lambda: [[torch.ones(2)]], "list"),
    "an array": (lambda: np.ones(2), "float64"),
    "arrays": (lambda: [np.ones(2)], "ndarray"),
    "names of names": (lambda: [("weight", "bias")], "'bias'"),
    "a name alone": (lambda: [("weight",)], "tuple"),
    "a mapping": (lambda: dict(torch.nn.Linear(2, 2).named_parameters()), "items"),
    "a group alone": (lambda: {"params": [torch.ones(2)]}, "group"),
}
no_parameters = pytest.mark.parametrize(
    ("build", "word"), NO_PARAMETERS.values(), ids=NO_PARAMETERS.keys()
)


@members
@no_parameters
def test_what_holds_no_parameters_is_told_what_to_pass(
    member: Member, build: Callable[[], Any], word: str
) -> None:
    with pytest.raises(TypeError, match=rf"^{member.__name__}: params .*{word}") as one:
        member(build())
    assert str(one.value).count(";") == 1
    assert "\n" not in str(one.value)
    if isinstance(build(), torch.Tensor):
        return  # a group takes one, as torch's does
    optimizer = member([torch.ones(2, requires_grad=True)])
    with pytest.raises(TypeError, match=rf"^{member.__name__}: params .*{word}"):
        optimizer.add_param_group({"params": build()})
    assert len(optimizer.param_groups) == 1


@members
@pytest.mark.parametrize(
    ("slip", "said"),
    [
        ({"param": [torch.ones(2)]}, r"'param'; did you mean 'params'\?"),
        (
            {"Params": [torch.ones(2)], "lr": 0.1},
            r"'Params', 'lr'; did you mean 'params'\?",
        ),
        ({"weights": [torch.ones(2)], 3: 4}, r"'weights', 3\."),
        ({}, r"no keys\."),
    ],
)
def test_a_group_without_parameters_is_told_where_they_belong(
    member: Member, slip: Options, said: str
) -> None:
    optimizer = member([torch.ones(2, requires_grad=True)])
    for call in (lambda: member([slip]), lambda: optimizer.add_param_group(slip)):
        with pytest.raises(ValueError, match=rf"^{member.__name__}: .*{said}") as one:
            call()
        assert "'params'" in str(one.value)
    assert len(optimizer.param_groups) == 1


@members
def test_an_empty_list_of_parameters_is_refused(member: Member) -> None:
    model = torch.nn.Linear(2, 2)
    read = model.parameters()
    member(read)
    for empty in ([], (), iter(()), read, torch.nn.Sequential().parameters()):
        with pytest.raises(
            ValueError, match=rf"^{member.__name__}: .* empty parameter list"
        ):
            member(empty)


@kinds
def test_lazy_and_meta_parameters_can_be_listed(member: Member) -> None:
    with torch.device("meta"):
        model = torch.nn.Linear(3, 2)
    optimizer = member(model.parameters())
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    optimizer.step()
    assert optimizer.state[model.weight]["momentum"].is_meta


def lazy_model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.LazyLinear(64), torch.nn.LazyLinear(64))


@kinds
@paths({"default": {}, "captured": {"capturable": True}} | STORED)
def test_lazy_parameters_are_read_before_the_first_forward_pass(
    member: Member, flags: Options
) -> None:
    model = lazy_model()
    optimizer = member(model.named_parameters(), **flags)
    optimizer.step()
    assert "4 parameters without a shape" in optimizer.explain()
    assert optimizer.telemetry().overall.coordinates == 0
    early = optimizer.state_dict()
    optimizer.load_state_dict(early)
    model(torch.ones(3, 80)).square().sum().backward()
    optimizer.step()
    assert "without a shape" not in optimizer.explain()
    params = list(model.parameters())
    assert all("square" in optimizer.state[param] for param in params)
    late = member(model.named_parameters(), **flags)
    late.load_state_dict(early)
    late.load_state_dict(optimizer.state_dict())
    assert same_bits(bits_of(late), bits_of(optimizer))
    before = member(lazy_model().named_parameters(), **flags)
    with pytest.raises(ValueError, match=rf"^{member.__name__}: .* no shape yet"):
        before.load_state_dict(optimizer.state_dict())
    assert not before.state


@kinds
@paths(COMPILED)
def test_parameters_may_get_their_memory_after_the_optimizer(
    member: Member, flags: Options
) -> None:
    with torch.device("meta"):
        model = torch.nn.Linear(3, 2)
    optimizer = member(model.parameters(), **flags)
    optimizer.step()
    model.weight.grad = torch.ones_like(model.weight)
    with pytest.raises(NotImplementedError, match="not on meta"):
        optimizer.step()
    assert not optimizer.state
    optimizer.zero_grad()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        model.to_empty(device="cpu")
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    start = parameters(shapes=[(2, 3), (2,)])
    torch.nn.utils.vector_to_parameters(
        torch.nn.utils.parameters_to_vector(start), model.parameters()
    )
    grads = gradients(start, 2)
    drive(optimizer, list(model.parameters()), grads)
    expected, _ = run(member, start, grads, **flags)
    assert same_bits([p.detach() for p in model.parameters()], expected)


@kinds
def test_explaining_changes_nothing_and_names_the_path(member: Member) -> None:
    start = parameters(shapes=[(4,), (2,)])
    params, optimizer = run(member, start, gradients(start, 2), foreach=True)
    before = [p.detach().clone() for p in params]
    text = optimizer.explain()
    assert member.__name__ in text
    assert "run by foreach" in text.lower()
    assert same_bits(params, before)
    assert len(optimizer.state) == 2


@kinds
def test_a_list_of_parameters_that_is_a_module_is_a_list(member: Member) -> None:
    params = torch.nn.ParameterList([torch.ones(3), torch.ones(2)])
    optimizer = member(params)
    assert [p.shape for p in optimizer.param_groups[0]["params"]] == [(3,), (2,)]
