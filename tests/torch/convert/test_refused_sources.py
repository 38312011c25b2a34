"""What cannot be adopted is refused by name, and nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    Member,
    bits_of,
    drive,
    gradients,
    kinds,
    parameters,
    same_bits,
    twins,
)
from tests.torch.convert.runs import (
    SHAPES,
    expected_squares,
    named,
    running,
    torchs,
)

import mementum
from mementum import convert
from mementum.torch import Adam, AdamW


def _saved(build: Callable[[Any], torch.optim.Optimizer]) -> dict[str, Any]:
    params = parameters(shapes=[(4,), (2, 3)])
    optimizer = build(params)
    drive(optimizer, params, gradients(params, 2))
    return deepcopy(optimizer.state_dict())


def _grouped(**changes: Any) -> dict[str, Any]:
    saved = _with()
    saved["param_groups"][0] |= changes
    return saved


def _with(**changed: Any) -> dict[str, Any]:
    saved = _saved(torch.optim.AdamW)
    saved["state"][1].update(changed)
    return saved


def _without(name: str) -> dict[str, Any]:
    saved = _saved(torch.optim.AdamW)
    del saved["state"][1][name]
    return saved


REFUSED: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "SGD": (lambda: torch.optim.SGD(parameters()), ("SGD keeps", "torch.optim.Adam")),
    "RMSprop": (lambda: _saved(torch.optim.RMSprop), ("has no 'betas'",)),
    "NAdam": (lambda: _saved(torch.optim.NAdam), ("has no 'amsgrad'",)),
    "RAdam": (lambda: _saved(torch.optim.RAdam), ("has no 'amsgrad'",)),
    "a model": (lambda: {"weight": torch.ones(4)}, ("no dict 'state'", "a model's")),
    "nothing": (lambda: None, ("NoneType",)),
    "a parameter more": (
        lambda: torch.optim.Adam(parameters(shapes=[(4,), (2, 3), (1,)])),
        ("3 parameters", "2 parameters"),
    ),
    "another shape": (
        lambda: (
            torch.optim.Adam(parameters(shapes=[(4,), (3, 2)])).state_dict()
            | {"state": {1: _with()["state"][1] | {"exp_avg": torch.ones(3, 2)}}}
        ),
        ("(3, 2)", "(2, 3)"),
    ),
    "no step": (lambda: _without("step"), ("parameter 1", "keeps exp_avg")),
    "no square": (lambda: _without("exp_avg_sq"), ("parameter 1",)),
    "another moment": (lambda: _with(mu_product=1.0), ("mu_product",)),
    "half a step": (lambda: _with(step=1.5), ("parameter 1: step is 1.5",)),
    "a step of NaN": (lambda: _with(step=torch.tensor(float("nan"))), ("nan",)),
    "a negative step": (lambda: _with(step=-1), ("step is -1",)),
    "a list": (lambda: _with(exp_avg=[0.0] * 6), ("list", "not a tensor")),
    "an eps in words": (lambda: _grouped(eps="x"), ("eps is 'x'",)),
    "a decay of NaN": (lambda: _grouped(weight_decay=float("nan")), ("nan",)),
    "a state of nobody": (
        lambda: (saved := _with()) | {"state": saved["state"] | {7: {"step": 1}}},
        ("a state under 7",),
    ),
    "integers": (
        lambda: _with(exp_avg=torch.ones(2, 3, dtype=torch.int64)),
        ("int64",),
    ),
    "a square below zero": (
        lambda: _with(exp_avg_sq=-torch.ones(2, 3)),
        ("exp_avg_sq below zero",),
    ),
    "two rules": (
        lambda: (
            (saved := _saved(AdamW))
            | {"param_groups": [*saved["param_groups"], {"params": [], "rule": "AdaX"}]}
        ),
        ("different rules",),
    ),
    "an unknown rule": (
        lambda: {"state": {}, "param_groups": [{"params": [0, 1], "rule": "Yogi"}]},
        ("'Yogi'",),
    ),
    "a newer format": (
        lambda: {
            "state": {},
            "param_groups": [{"params": [0], "rule": "Adam", "format_version": 9}],
        },
        ("format 9", "update mementum"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("build", [Adam, torch.optim.Adam], ids=["ours", "torch's"])
def test_what_cannot_be_adopted_changes_nothing(build: Any, name: str) -> None:
    make, words = REFUSED[name]
    params = parameters(shapes=[(4,), (2, 3)])
    optimizer = build(params)
    drive(optimizer, params, gradients(params, 3))
    before, groups = bits_of(optimizer), deepcopy(optimizer.state_dict())
    with pytest.raises((TypeError, ValueError), match=r"^Adam cannot adopt") as refusal:
        convert.adopt(optimizer, make())
    message = str(refusal.value)
    assert [word for word in words if word not in message] == [], message
    assert same_bits(bits_of(optimizer), before)
    assert optimizer.state_dict()["param_groups"] == groups["param_groups"]


def test_other_names_are_refused_until_they_are_renamed() -> None:
    params = parameters(shapes=[(4,), (2, 3)])
    theirs = torch.optim.AdamW(named(params, "ab"))
    drive(theirs, params, gradients(params, 2))
    other = [(name.upper(), param) for name, param in named(twins(params), "ba")]
    optimizer = AdamW(other)
    saved = theirs.state_dict()
    with pytest.raises(ValueError, match=r"without 'B', 'A' .*convert\.renamed"):
        convert.adopt(optimizer, saved)
    assert convert.adopt(optimizer, convert.renamed(saved, str.upper)).parameters == 2
    assert saved["param_groups"][0]["param_names"] == ["a", "b"]
    squares = [optimizer.state[p]["square"] for _, p in reversed(other)]
    for a, b in zip(squares, expected_squares(theirs, params), strict=True):
        torch.testing.assert_close(a, b, rtol=2.0**-23, atol=0)


def test_only_some_of_the_same_tensors_are_refused() -> None:
    params = parameters(shapes=[(4,), (4,)])
    theirs = torch.optim.AdamW(params)
    with pytest.raises(ValueError, match="only 1 are the same"):
        convert.adopt(Adam([params[0], *twins(params[1:])]), theirs)


def test_the_arguments_in_the_other_order_are_refused() -> None:
    with pytest.raises(TypeError, match="source is the second"):
        convert.adopt(torch.optim.SGD(parameters()), Adam(parameters()))


@pytest.mark.parametrize("option", ["rate", "params", "rule", "foreach", "amsgrad"])
def test_only_options_of_both_sides_are_carried(option: str) -> None:
    params, theirs = running(torch.optim.AdamW)
    optimizer = AdamW(params)
    with pytest.raises(ValueError, match=f"carry names '{option}'"):
        convert.adopt(optimizer, theirs, carry=(option,))
    assert not optimizer.state


def test_options_that_do_not_fit_are_refused_when_carried() -> None:
    params, theirs = running(torch.optim.AdamW)
    optimizer = mementum.AdaX(params)
    with pytest.raises(ValueError, match=r"AdaX cannot adopt this: .*betas\[1\]"):
        convert.adopt(optimizer, theirs, carry=("betas",))
    assert not optimizer.state
    assert optimizer.param_groups[0]["betas"] == (0.9, 1e-4)


@torchs
@kinds
@pytest.mark.parametrize("saved", [False, True], ids=["running", "saved"])
@pytest.mark.parametrize("dry_run", [False, True], ids=["", "dry"])
def test_a_source_without_steps_takes_no_moments_away(
    member: Member,
    build: Callable[..., torch.optim.Optimizer],
    saved: bool,
    dry_run: bool,
) -> None:
    start = parameters(shapes=SHAPES)
    for kind, other in ((build, member), (member, build)):
        params = twins(start)
        trained, fresh = kind(params, lr=0.01), other(params, lr=0.01)
        # A fresh source begins a fresh optimizer, and says so.
        assert convert.adopt(kind(params, lr=0.01), fresh, dry_run=True).steps == (0, 0)
        drive(trained, params, gradients(start, 2))
        before = deepcopy(trained.state_dict()["state"])
        source = fresh.state_dict() if saved else fresh
        name = type(trained).__name__
        message = rf"^{name} cannot adopt this: the source has taken no step .*swapped"
        with pytest.raises(ValueError, match=message):
            convert.adopt(trained, source, dry_run=dry_run)
        after = trained.state_dict()["state"]
        assert before.keys() == after.keys()
        for key, kept in before.items():
            for each, value in kept.items():
                assert torch.equal(
                    torch.as_tensor(value), torch.as_tensor(after[key][each])
                )


@kinds
def test_an_option_to_carry_in_no_list_is_refused(member: Member) -> None:
    params, theirs = running(torch.optim.AdamW)
    message = rf"^{member.__name__} cannot adopt this: carry is 'lr'; it is a list"
    with pytest.raises(TypeError, match=message):
        convert.adopt(member(params), theirs, carry="lr")
