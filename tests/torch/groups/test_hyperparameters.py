"""A hyperparameter that is, or has become, bad is refused by group, name and value."""

from __future__ import annotations

import inspect
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tests.torch.cases import (
    EAGER,
    MEMBERS,
    PATHS,
    Member,
    Options,
    bits_of,
    drive,
    gradients,
    kinds,
    members,
    parameters,
    paths,
    run,
    same_bits,
    twins,
)

from mementum import Memory
from mementum.torch import AdaX, AdaXW, FamilyOptimizer, Mementum
from mementum.torch.state.formats import STATE_DTYPES

nan, inf = float("nan"), float("inf")
NO_NUMBERS: list[Any] = ["0.1", None, True, [0.1], 1j, torch.ones(2), b"1"]
OUTSIDE: list[Any] = [nan, inf, -inf, -1e-3, -1, torch.tensor(nan), torch.tensor(-1.0)]
NO_FRACTIONS = [*OUTSIDE, 1.0, 1, 2.5, torch.tensor(1.0), 10**400]
NO_FLAGS: list[Any] = [None, "yes", 0, 1, 1.0, torch.tensor(True)]


Bad = list[tuple[str, Any, str]]


def bad_values(member: Member) -> Bad:
    """Return argument, value, and the name it is refused by, for every argument."""
    numbers = [*OUTSIDE, *NO_NUMBERS]
    found = [(n, v, n) for n in ("lr", "eps", "weight_decay") for v in numbers]
    found += [("momentum", v, "momentum") for v in (*NO_FRACTIONS, *NO_NUMBERS)]
    found += bad_betas(member) + BAD_WORDS
    for flag in ("decoupled_weight_decay", "maximize", "capturable", "differentiable"):
        found += [(flag, v, flag) for v in NO_FLAGS]
    for flag in ("foreach", "fused"):
        found += [(flag, v, flag) for v in NO_FLAGS if v is not None]
    named = set(inspect.signature(member).parameters)
    return [case for case in found if case[0] in named]


def bad_betas(member: Member) -> Bad:
    good1, good2 = member.recipe.defaults.get("betas", (0.9, 0.999))
    no_pairs: list[Any] = [0.9, None, (0.9,), (0.9, 0.99, 0.999), "ab", {0.9, 0.99}]
    found: Bad = [("betas", v, "betas") for v in (*no_pairs, torch.ones(2))]
    for value in (*NO_FRACTIONS, *NO_NUMBERS):
        found.append(("betas", (value, good2), "betas[0]"))
        found.append(("betas", (good1, value), "betas[1]"))
    if member in (AdaX, AdaXW):
        found.append(("betas", (0.9, 0.999), "betas[1]"))
    return found


BAD_WORDS: Bad = [
    *(("variant", v, "variant") for v in ("Paper", "", None, 3, [])),
    *(("square_of", v, "square_of") for v in ("gradients", None, 1)),
    *(("nonfinite", v, "nonfinite") for v in ("ignore", None, True)),
    *(("memory", v, "memory") for v in (*OUTSIDE, "1", None, True, {"ratio": 1})),
    ("memory", {"log_ratio": nan}, "memory"),
    *((f, v, f) for f in ("peak", "debias_momentum") for v in NO_FLAGS),
]
BAD = [
    pytest.param(member, bad_values(member), id=member.__name__) for member in MEMBERS
]
bad = pytest.mark.parametrize(("member", "values"), BAD)
ERRORS = (TypeError, ValueError, NotImplementedError)


def assert_named(error: BaseException, member: Member, where: str, name: str) -> None:
    """See that an error begins with the class, says where, and names the argument."""
    text = str(error)
    assert text.startswith(f"{member.__name__}: {where}"), text
    rest = text.removeprefix(f"{member.__name__}: {where}")
    assert re.match(re.escape(name), rest), text
    assert len(text) < 300, text


@bad
def test_bad_values_are_refused_at_construction(member: Member, values: Any) -> None:
    for name, value, called in values:
        params = parameters(shapes=[(2,)])
        with pytest.raises(ERRORS) as caught:
            member(params, **{name: value})
        assert_named(caught.value, member, "", called)


@bad
def test_bad_values_are_refused_in_a_group(member: Member, values: Any) -> None:
    (first, second) = parameters(shapes=[(2,), (3,)])
    optimizer = member([first])
    for name, value, called in values:
        group = {"params": [second], name: value}
        with pytest.raises(ERRORS) as caught:
            optimizer.add_param_group(group)
        assert_named(caught.value, member, "parameter group 1: ", called)
        with pytest.raises(ERRORS) as caught:
            member([{"params": [first]}, group])
        assert_named(caught.value, member, "parameter group 1: ", called)
    assert len(optimizer.param_groups) == 1


@bad
def test_values_that_became_bad_are_refused_at_the_step(
    member: Member, values: Any
) -> None:
    start = parameters(shapes=[(2,), (3,)])
    _, optimizer = run(member, start, gradients(start, 2))
    before = bits_of(optimizer)
    group = optimizer.param_groups[0]
    for name, value, called in values:
        good = group[name]
        group[name] = value
        with pytest.raises(ERRORS) as caught:
            optimizer.step()
        assert_named(caught.value, member, "", called)
        group[name] = good
        assert same_bits(bits_of(optimizer), before)
    optimizer.step()


@bad
def test_bad_values_are_refused_on_load(member: Member, values: Any) -> None:
    start = parameters(shapes=[(2,), (3,)])
    _, optimizer = run(member, start, gradients(start, 2))
    before = bits_of(optimizer)
    for name, value, _ in values:
        saved = optimizer.state_dict()
        saved["param_groups"][0][name] = value
        with pytest.raises(ERRORS, match=rf"^{member.__name__}: "):
            optimizer.load_state_dict(saved)
        assert same_bits(bits_of(optimizer), before)
        assert optimizer.param_groups[0][name] is not value
    optimizer.step()


@members
def test_the_group_that_became_bad_is_named_and_none_steps(member: Member) -> None:
    first, second = parameters(shapes=[(2,), (3,)])
    optimizer = member([{"params": [first]}, {"params": [second]}])
    first.grad, second.grad = torch.ones(2), torch.ones(3)
    before = bits_of(optimizer)
    optimizer.param_groups[1]["lr"] = nan
    with pytest.raises(ValueError, match=rf"^{member.__name__}: parameter group 1: lr"):
        optimizer.step()
    assert same_bits(bits_of(optimizer), before)


GOOD: dict[str, Options] = {
    "an integer rate": {"lr": 1},
    "no rate": {"lr": 0},
    "a NumPy rate": {"lr": torch.tensor(0.25).numpy()[()]},
    "a tensor decay": {"weight_decay": torch.tensor(0.25)},
    "a tensor eps": {"eps": torch.tensor(2.0**-20)},
    "no eps": {"eps": 0},
}


@kinds
@paths(EAGER)
@pytest.mark.parametrize("options", GOOD.values(), ids=GOOD.keys())
def test_numbers_may_come_in_any_form(
    member: Member, options: Options, flags: Options
) -> None:
    start = parameters(shapes=[(5,)])
    grads = gradients(start, 3)
    params, optimizer = run(member, start, grads, **options, **flags)
    plain = {name: float(value) for name, value in options.items()}
    expected, _ = run(member, start, grads, **plain, **flags)
    assert same_bits(params, expected)
    assert isinstance(optimizer, FamilyOptimizer)


@pytest.mark.parametrize("member", [m for m in MEMBERS if "betas" in m.recipe.defaults])
@pytest.mark.parametrize("capturable", [False, True])
def test_betas_may_be_tensors_of_one_element(member: Member, capturable: bool) -> None:
    start = parameters(torch.float64, [(5,)])
    grads = gradients(start, 6)
    beta1, beta2 = member.recipe.defaults["betas"]
    expected, _ = run(member, start, grads, capturable=capturable)
    wide = torch.tensor(beta1, dtype=torch.float64).reshape(1, 1)
    forms: list[Any] = [
        (wide, torch.tensor(beta2, dtype=torch.float64)),
        [beta1, torch.tensor([beta2], dtype=torch.float64)],
    ]
    for betas in forms:
        params, _ = run(member, start, grads, betas=betas, capturable=capturable)
        # Host and device may round a logarithm differently.
        torch.testing.assert_close(params, expected, rtol=1e-12, atol=1e-13)


class Listed(Sequence[Any]):
    """A sequence that is neither a list nor a tuple, as a configuration's are."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __len__(self) -> int:
        return len(self.values)


SEQUENCES: dict[str, Callable[[Any, Any], Any]] = {
    "list": lambda *betas: [*betas],
    "a class of one's own": Listed,
    "array": lambda *betas: np.array(betas),
    "array of objects": lambda *betas: np.array(betas, dtype=object),
    "deque": lambda *betas: deque(betas),
    "tuple of NumPy's numbers": lambda *betas: tuple(map(np.float64, betas)),
    "class of tuples": NamedTuple("Pair", [("one", Any), ("two", Any)]),
    "tensor": lambda *betas: torch.tensor(betas, dtype=torch.float64),
}
sequences = pytest.mark.parametrize(
    "sequence", SEQUENCES.values(), ids=SEQUENCES.keys()
)
with_betas = pytest.mark.parametrize(
    "member", [m for m in MEMBERS if "betas" in m.recipe.defaults]
)


@with_betas
@sequences
@paths({name: PATHS[name] for name in (*EAGER, "capturable default")})
def test_betas_may_come_in_any_sequence(
    member: Member, sequence: Any, flags: Options
) -> None:
    start = parameters(torch.float64, [(5,)])
    grads = gradients(start, 4)
    # Not the defaults, and for every member within its range.
    betas = 0.5, 0.25
    expected, plain = run(member, start, grads, betas=betas, **flags)
    found, optimizer = run(member, start, grads, betas=sequence(*betas), **flags)
    edited = member(own := twins(start), **flags)
    edited.param_groups[0]["betas"] = sequence(*betas)
    drive(edited, own, grads)
    added = member([torch.ones(1, requires_grad=True)], **flags)
    added.add_param_group({"params": (last := twins(start)), "betas": sequence(*betas)})
    drive(added, last, grads)
    loaded = member(late := twins(start), **flags)
    saved = loaded.state_dict()
    saved["param_groups"][0]["betas"] = sequence(*betas)
    loaded.load_state_dict(saved)
    drive(loaded, late, grads)
    # Where betas are tensors, host and device may round a logarithm differently.
    for params in (found, own, last, late):
        torch.testing.assert_close(params, expected, rtol=1e-12, atol=1e-13)
    for one in (optimizer, edited, loaded):
        kept = one.state_dict()["param_groups"][0]["betas"]
        assert type(kept) is list
        assert kept == plain.state_dict()["param_groups"][0]["betas"]


@with_betas
@pytest.mark.parametrize(
    "value", [Listed(0.5), Listed(0.5, 0.25, 0.5), np.array(0.5), np.ones((2, 2, 2))]
)
def test_what_is_no_pair_is_refused(member: Member, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{member.__name__}: betas"):
        member(parameters(shapes=[(2,)]), betas=value)


@kinds
@pytest.mark.parametrize("name", STATE_DTYPES)
def test_a_dtype_may_be_written_as_torch_prints_it(member: Member, name: str) -> None:
    written = name if name == "float8" else f"torch.{name}"
    params = parameters(shapes=[(64, 80)])
    optimizer = member(params, state_dtype=written)
    optimizer.add_param_group({"params": [torch.ones(2)], "state_dtype": written})
    for group in optimizer.param_groups:
        assert group["state_dtype"] == name
    saved = optimizer.state_dict()
    for group in saved["param_groups"]:
        group["state_dtype"] = written
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["state_dtype"] == name
    for wrong in ("torch.float7", "torch.", "bfloat", "torch.torch.bfloat16"):
        with pytest.raises(ValueError, match=rf"^{member.__name__}: state_dtype is"):
            member(twins(params), state_dtype=wrong)


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0, 1.0001, 3.0])
def test_a_memory_may_be_a_ratio_a_tensor_or_itself(
    ratio: float, capturable: bool
) -> None:
    start = parameters(torch.float64, [(5,)])
    grads = gradients(start, 6)
    expected, _ = run(Mementum, start, grads, memory=ratio)
    tensor = torch.tensor(ratio, dtype=torch.float64)
    forms: list[Any] = [tensor, Memory.from_ratio(ratio)]
    for memory in (ratio, *forms):
        params, _ = run(Mementum, start, grads, memory=memory, capturable=capturable)
        torch.testing.assert_close(params, expected, rtol=1e-12, atol=1e-13)
