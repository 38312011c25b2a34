"""Laws of the twelve numbers a kernel is told."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from tests.gradients import heavy_tailed

from mementum.family.memory import Fixed, Memory
from mementum.family.reference import trajectory
from mementum.family.rule import Coefficients, Rule, SquareOf

PLAIN = Rule(momentum=Fixed(0.9), square=Memory.adax(1e-4))
LR = 0.01

# A change to each field of a rule, and the numbers it must move at step 3.
CHANGES: list[tuple[str, Any, set[str]]] = [
    ("momentum", Fixed(0.8), {"take_m"}),
    ("square", Memory.adam(0.99), {"take_v"}),
    ("square_of", SquareOf.MOMENTUM, {"square_g", "square_m"}),
    ("square_of", SquareOf.RESIDUAL, {"square_m"}),
    ("peak", True, set()),
    ("debias_momentum", True, {"step_m"}),
    ("eps_in", 0.5, {"eps_in"}),
    ("eps_root", 0.5, {"eps_root"}),
    ("eps_out", 0.5, {"eps_out"}),
    ("weight_decay", 0.5, {"pull"}),
]


@pytest.mark.parametrize(("field", "value", "moved"), CHANGES)
def test_a_field_moves_its_numbers_and_no_others(
    field: str, value: Any, moved: set[str]
) -> None:
    before = PLAIN.at(3, LR)._asdict()
    after = replace(PLAIN, **{field: value}).at(3, LR)._asdict()
    assert {name for name in before if before[name] != after[name]} == moved


def test_the_changes_cover_every_field() -> None:
    fields = {field for field, _, _ in CHANGES} | {"debias_square", "decoupled"}
    assert fields == set(Rule.__dataclass_fields__)


def test_decay_pulls_the_gradient_or_shrinks_the_parameter() -> None:
    coupled = replace(PLAIN, weight_decay=0.5).at(3, LR)
    decoupled = replace(PLAIN, weight_decay=0.5, decoupled=True).at(3, LR)
    assert (coupled.pull, coupled.shrink) == (0.5, 0.0)
    assert (decoupled.pull, decoupled.shrink) == (0.0, LR * 0.5)


@pytest.mark.parametrize("decoupled", [False, True])
def test_no_decay_leaves_no_operation(decoupled: bool) -> None:
    c = replace(PLAIN, weight_decay=0.0, decoupled=decoupled).at(3, LR)
    assert (c.pull, c.shrink) == (0.0, 0.0)


@pytest.mark.parametrize("t", [1, 2, 100, 10**9])
def test_a_debiased_momentum_divides_the_step_by_its_mass(t: int) -> None:
    c = replace(PLAIN, debias_momentum=True).at(t, LR)
    assert c.step_m == LR / PLAIN.momentum.mass(t)


@pytest.mark.parametrize("peak", [False, True])
@pytest.mark.parametrize("eps", [{"eps_out": 0.1}, {"eps_root": 0.1}, {}])
def test_a_debiased_square_is_the_square_over_its_mass(
    eps: dict[str, float], peak: bool
) -> None:
    """Dividing the square itself gives the step that the moved numbers give."""
    rule = Rule(
        momentum=Fixed(0.5), square=Fixed(0.9), debias_square=True, peak=peak, **eps
    )
    p = np.zeros(20)
    states = trajectory(rule, LR, p, heavy_tailed(50, 20, seed=6))
    for t, state in enumerate(states, start=1):
        divided = (state.k if peak else state.v) / rule.square.mass(t)
        root = np.sqrt(divided + eps.get("eps_root", 0.0)) + eps.get("eps_out", 0.0)
        step = LR * state.m / root
        # A step takes some ten roundings; subtracting points adds the ulp of a point.
        slack = 20 * np.finfo(np.float64).eps
        bound = slack * (np.abs(step) + np.abs(p) + np.abs(state.p))
        assert (np.abs((p - state.p) - step) <= bound).all()
        p = state.p


def test_without_a_square_memory_debiasing_changes_nothing() -> None:
    """A `Memory` is unbiased: its mass is 1."""
    assert replace(PLAIN, debias_square=True, eps_out=0.1).at(3, LR) == replace(
        PLAIN, eps_out=0.1
    ).at(3, LR)


def test_the_learning_rate_scales_the_step_and_the_shrinking() -> None:
    rule = replace(PLAIN, weight_decay=0.5, decoupled=True)
    once, twice = rule.at(3, LR)._asdict(), rule.at(3, 2 * LR)._asdict()
    for name in once:
        factor = 2 if name in ("step_m", "shrink") else 1
        assert twice[name] == factor * once[name]


@pytest.mark.parametrize("t", [1, 887_272, 10**7, 2**53])
@pytest.mark.parametrize("debias", [False, True])
def test_numbers_are_finite_at_every_step(t: int, debias: bool) -> None:
    rule = Rule(
        momentum=Fixed(0.9),
        square=Fixed(0.999),
        debias_momentum=debias,
        debias_square=debias,
    )
    for one in (rule, replace(rule, square=Memory.adax(0.4), debias_square=False)):
        assert all(math.isfinite(number) for number in one.at(t, LR))


def test_the_numbers_are_twelve_and_the_scale_is_free() -> None:
    assert len(Coefficients._fields) == 12
    assert PLAIN.at(3, LR).scale == 1.0


def test_a_rule_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PLAIN.peak = True  # type: ignore[misc]
