"""A state dict that does not fit is refused at load, and nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    MEMBERS,
    Member,
    bits_of,
    gradients,
    kinds,
    members,
    parameters,
    run,
    same_bits,
    twins,
)

from mementum.torch import Adam, AdamW, AdaX, AdaXW, AMSGrad, FamilyOptimizer

nan, inf = float("nan"), float("inf")


def trained(member: Member, steps: int = 3) -> FamilyOptimizer:
    start = parameters(shapes=[(4,), (2, 3)])
    return run(member, start, gradients(start, steps))[1]


def assert_refused(optimizer: FamilyOptimizer, state_dict: Any) -> None:
    """See the state dict refused by the optimizer's name, with nothing changed."""
    params = optimizer.param_groups[0]["params"]
    bits, groups = (
        bits_of(optimizer),
        deepcopy(
            [
                {k: v for k, v in g.items() if k != "params"}
                for g in optimizer.param_groups
            ]
        ),
    )
    name = type(optimizer).__name__
    with pytest.raises(
        (TypeError, ValueError, NotImplementedError), match=rf"^{name}: "
    ):
        optimizer.load_state_dict(state_dict)
    assert same_bits(bits_of(optimizer), bits)
    assert optimizer.param_groups[0]["params"] is params
    kept = [
        {k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups
    ]
    assert kept == groups


SAME_RULE = [{Adam, AdamW}, {AdaX, AdaXW}]


@members
@pytest.mark.parametrize("other", MEMBERS, ids=lambda m: f"from {m.__name__}")
def test_another_rules_state_is_refused(member: Member, other: Member) -> None:
    # Only the defaults of Adam and AdamW, and of AdaX and AdaXW, differ.
    optimizer, saved = trained(member), trained(other, steps=5).state_dict()
    if member is other or {member, other} in SAME_RULE:
        optimizer.load_state_dict(saved)
        optimizer.step()
    else:
        assert_refused(optimizer, saved)


TORCHS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, momentum=0.9),
    "SGD without momentum": torch.optim.SGD,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "AMSGrad": lambda p: torch.optim.Adam(p, amsgrad=True),
    "RMSprop": torch.optim.RMSprop,
    "Adagrad": torch.optim.Adagrad,
}


@kinds
@pytest.mark.parametrize("build", TORCHS.values(), ids=TORCHS.keys())
@pytest.mark.parametrize("steps", [0, 2])
def test_torchs_state_is_refused(
    member: Member, build: Callable[[Any], torch.optim.Optimizer], steps: int
) -> None:
    # A raw square of torch's must not be taken for a corrected one of ours.
    own = twins(parameters(shapes=[(4,), (2, 3)]))
    theirs = build(own)
    for _ in range(steps):
        for param in own:
            param.grad = torch.ones_like(param)
        theirs.step()
    optimizer, saved = trained(member), theirs.state_dict()
    adams = isinstance(theirs, torch.optim.Adam) and {
        "betas",
        "eps",
        "weight_decay",
        "decoupled_weight_decay",
    } >= set(member.recipe.defaults)
    if steps or not adams:
        assert_refused(optimizer, saved)


def first(state_dict: dict[str, Any]) -> dict[str, Any]:
    return state_dict["state"][0]


def _set(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda saved: first(saved).__setitem__(name, value)


def _group(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda saved: saved["param_groups"][0].__setitem__(name, value)


SPOILED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no groups": lambda s: s.pop("param_groups"),
    "no state": lambda s: s.pop("state"),
    "a group less": lambda s: s["param_groups"].clear(),
    "a group more": lambda s: s["param_groups"].append(s["param_groups"][0]),
    "a group without parameters": lambda s: s["param_groups"][0].pop("params"),
    "a parameter less": lambda s: s["param_groups"][0]["params"].pop(),
    "a parameter more": lambda s: s["param_groups"][0]["params"].append(2),
    "no eps": lambda s: s["param_groups"][0].pop("eps"),
    "no lr": lambda s: s["param_groups"][0].pop("lr"),
    "no step": lambda s: first(s).pop("step"),
    "no momentum": lambda s: first(s).pop("momentum"),
    "no square": lambda s: first(s).pop("square"),
    "another moment": _set("exp_avg_sq", torch.zeros(4)),
    "momentum of another shape": _set("momentum", torch.zeros(5)),
    "square of one element": _set("square", torch.zeros(1)),
    "square of no dimension": _set("square", torch.zeros(())),
    "square of more dimensions": _set("square", torch.zeros(4, 1)),
    "a complex momentum": _set("momentum", torch.zeros(4, dtype=torch.complex64)),
    "no tensor": _set("square", None),
    "a list": _set("square", [0.0] * 4),
    "a step of NaN": _set("step", nan),
    "an infinite step": _set("step", inf),
    "a negative step": _set("step", -1),
    "half a step": _set("step", 1.5),
    "a step of words": _set("step", "three"),
    "no number of steps": _set("step", None),
    "two steps": _set("step", torch.tensor([1.0, 2.0])),
    "a rate of NaN": _group("lr", nan),
    "an infinite rate": _group("lr", inf),
    "a negative rate": _group("lr", -1e-3),
    "a rate of words": _group("lr", "fast"),
    "an eps of NaN": _group("eps", nan),
    "an infinite eps": _group("eps", inf),
    "a negative decay": _group("weight_decay", -1.0),
    "an unknown policy": _group("nonfinite", "ignore"),
    "two paths": lambda s: s["param_groups"][0].update(fused=True, foreach=True),
    "a flag of words": _group("maximize", "yes"),
}


@kinds
@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_a_spoiled_state_dict_is_refused(
    member: Member, spoil: Callable[[dict[str, Any]], Any]
) -> None:
    saved = deepcopy(trained(member, steps=5).state_dict())
    spoil(saved)
    assert_refused(trained(member), saved)


@pytest.mark.parametrize("nothing", [None, [], {}, "optimizer.pt"], ids=repr)
def test_what_is_no_state_dict_is_refused(nothing: Any) -> None:
    assert_refused(trained(Adam), nothing)


def test_a_bad_parameter_behind_a_good_one_changes_neither() -> None:
    saved = deepcopy(trained(Adam).state_dict())
    saved["state"][1]["square"] = torch.zeros(7)
    assert_refused(trained(Adam), saved)


def test_a_real_moment_of_a_complex_parameter_is_refused() -> None:
    start = parameters(torch.complex64, [(4,)])
    optimizer = run(Adam, start, gradients(start, 1))[1]
    saved = deepcopy(optimizer.state_dict())
    saved["state"][0]["square"] = torch.ones(4)
    assert_refused(optimizer, saved)


def test_a_peak_goes_with_a_rule_that_keeps_it() -> None:
    saved = deepcopy(trained(AMSGrad).state_dict())
    assert set(first(saved)) == {"step", "momentum", "square", "peak"}
    first(saved)["peak"] = torch.zeros(9)
    assert_refused(trained(AMSGrad), saved)
