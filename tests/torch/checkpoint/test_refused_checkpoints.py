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
    drive,
    gradients,
    kinds,
    members,
    parameters,
    run,
    same_bits,
    twins,
)
from tests.torch.checkpoint.loading import (
    LOADING,
    SAVED,
    assert_refused,
    blocks,
    complex_,
    named,
    plain,
    trained,
)
from tests.torch.checkpoint.spoiled import CASES, Case

from mementum.torch import Adam, AdamW, AdaX, AdaXW, FamilyOptimizer

nan, inf = float("nan"), float("inf")


@kinds
@pytest.mark.parametrize("name", ["skipped_steps", "clipped_steps"])
@pytest.mark.parametrize(
    "count",
    ["x", None, [], nan, 1.0, True, -5]
    + [torch.tensor(each) for each in ([1, 2], -1, 1.5, True)],
    ids=repr,
)
def test_a_count_of_steps_that_is_none_is_refused(
    member: Member, name: str, count: Any
) -> None:
    optimizer = trained(member)
    state_dict = deepcopy(optimizer.state_dict())
    state_dict["param_groups"][0][name] = count
    assert_refused(optimizer, state_dict, f"has {name} {count!r:.60};", "damaged")
    for fine in (3, torch.tensor(3)):
        state_dict["param_groups"][0][name] = fine
        optimizer.load_state_dict(state_dict)
        assert getattr(optimizer, name) == 3


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
        own, theirs = member.recipe.kind, other.recipe.kind
        assert_refused(optimizer, saved, own, theirs, "mementum.convert.adopt")


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
    drive(theirs, own, gradients(own, steps))
    ours = isinstance(theirs, torch.optim.Adam | torch.optim.AdamW)
    who = "torch.optim.Adam or AdamW saved it" if ours else "another library saved it"
    assert_refused(trained(member), theirs.state_dict(), who, "mementum.convert.adopt")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_spoiled_state_dict_is_refused(case: Case) -> None:
    saved = deepcopy(case.build(case.member, SAVED, **case.options).state_dict())
    case.spoil(saved)
    optimizer = case.build(case.member, LOADING, **case.options)
    assert_refused(optimizer, saved, *case.words)


@pytest.mark.parametrize("build", [plain, named, blocks, complex_])
@kinds
def test_what_the_cases_spoil_was_good(
    member: Member, build: Callable[..., FamilyOptimizer]
) -> None:
    saved = deepcopy(build(member, SAVED).state_dict())
    optimizer = build(member, LOADING)
    optimizer.load_state_dict(saved)
    assert {kept["step"] for kept in optimizer.state.values()} == {SAVED}


@pytest.mark.parametrize("nothing", [None, [], {}, "optimizer.pt"], ids=repr)
def test_what_is_no_state_dict_is_refused(nothing: Any) -> None:
    assert_refused(trained(Adam), nothing, "state dict")


@kinds
@pytest.mark.parametrize("bad", [nan, inf])
def test_moments_that_are_not_finite_go_on_as_they_were(
    member: Member, bad: float
) -> None:
    # A run whose gradient was infinite once is still that run.
    start = parameters(shapes=[(4,)])
    params, first = run(member, start, gradients(start, 2))
    params[0].grad = torch.full((4,), bad)
    first.step()
    second = member(twins(params))
    second.load_state_dict(deepcopy(first.state_dict()))
    assert same_bits(bits_of(second), bits_of(first))


@kinds
def test_a_checkpoint_that_holds_the_state_dict_says_where(member: Member) -> None:
    optimizer = trained(member)
    checkpoint = {"model": {}, "optimizer": deepcopy(optimizer.state_dict())}
    assert_refused(optimizer, checkpoint, "checkpoint['optimizer']")
