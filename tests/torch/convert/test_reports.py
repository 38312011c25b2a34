"""A report says what stays, what changes and what is carried over."""

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
from tests.torch.convert.runs import SHAPES, running, torchs

import mementum
from mementum import convert
from mementum.family.memory import Memory
from mementum.torch import AdamW, Mementum


def test_hyperparameters_stay_unless_they_are_carried() -> None:
    params, theirs = running(torch.optim.AdamW, lr=0.03)
    optimizer = mementum.AdaXW(twins(params), lr=0.5)
    report = convert.adopt(optimizer, theirs, carry=("weight_decay",))
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.5, 0.1)
    assert ("lr", "0.03", "0.5") in report.options
    assert "weight_decay" not in [name for name, *_ in report.options]


def test_a_scheduler_goes_on_with_the_carried_rate() -> None:
    def scheduled(optimizer: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    params, theirs = running(torch.optim.AdamW, lr=0.8)
    first = scheduled(theirs)
    theirs.step()
    first.step()
    optimizer = AdamW(twins(params), lr=0.1)
    second = scheduled(optimizer)
    second.load_state_dict(first.state_dict())
    convert.adopt(optimizer, theirs, carry=("lr", "initial_lr"))
    for each in (first, second):
        each.optimizer.step()
        each.step()
    assert optimizer.param_groups[0]["lr"] == theirs.param_groups[0]["lr"] == 0.2


@kinds
def test_a_dry_run_says_what_will_happen_and_changes_nothing(member: Member) -> None:
    params, theirs = running(torch.optim.Adam, amsgrad=True)
    optimizer = member(params)
    kept, groups = bits_of(optimizer), deepcopy(optimizer.state_dict())
    told = convert.adopt(optimizer, theirs, dry_run=True)
    assert same_bits(bits_of(optimizer), kept)
    assert optimizer.state_dict() == groups
    done = convert.adopt(optimizer, theirs)
    assert (told.changes, told.options) == (done.changes, done.options)
    assert str(told).endswith("Nothing was changed.")
    assert str(done).startswith(f"{member.__name__} has adopted torch.optim.Adam: 4 ")
    for words in ("4,114 elements", "7 to 8", "the same tensors", "momentum", "square"):
        assert words in " ".join(str(told).split())
    keeps = "peak" in optimizer.state[params[0]]
    assert told.changes["peak"] == (
        "the source's" if keeps else "dropped: this rule keeps none"
    )


def test_a_report_names_what_a_rule_squares() -> None:
    params, theirs = running(torch.optim.Adam)
    report = convert.adopt(mementum.AdaMomentum(params), theirs, dry_run=True)
    told = " ".join(str(report).split())
    assert "of the momentum's from now on" in told


def test_a_memory_is_reported_as_its_ratio() -> None:
    params, theirs = running(torch.optim.AdamW)
    optimizer = Mementum(params, memory=Memory.adax(1e-3))
    report = convert.adopt(optimizer, theirs, dry_run=True)
    assert ("memory ratio", "0.999", "1.001") in report.options


@torchs
@kinds
@pytest.mark.parametrize("maximize", [False, True], ids=["", "maximize"])
def test_a_report_says_that_the_momentum_has_the_other_sign(
    member: Member, build: Callable[..., torch.optim.Optimizer], maximize: bool
) -> None:
    start = parameters(shapes=SHAPES)
    params = twins(start)
    theirs = build(params, lr=0.01, maximize=maximize)
    drive(theirs, params, gradients(start, 2))
    for mine in (False, True):
        own = member(params, lr=0.01, maximize=mine)
        report = convert.adopt(own, theirs, dry_run=True)
        differs = mine != maximize
        assert ("other sign" in report.changes["momentum"]) == differs
        assert (("maximize", str(maximize), str(mine)) in report.options) == differs


def test_a_report_says_all_rates_in_lines_of_a_terminal() -> None:
    start = parameters(shapes=[(2,)] * 6)
    params = twins(start)
    theirs = torch.optim.AdamW(
        [{"params": [param], "lr": 0.1 * (i + 1)} for i, param in enumerate(params)]
    )
    drive(theirs, params, gradients(start, 2))
    report = str(convert.adopt(AdamW(params, lr=0.03), theirs, dry_run=True))
    assert max(map(len, report.splitlines())) <= 80
    words = " ".join(report.split())
    assert "0.03 here, 0.1 in the source; 0.03 here, 0.2 in the source;" in words
    assert "0.03 here, 0.3 in the source; 3 more" in words
    assert "matched as the same tensors" in words
