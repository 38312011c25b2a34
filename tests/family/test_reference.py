"""Laws of the kernel that defines what is correct."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.gradients import heavy_tailed

from mementum.family.memory import Average, Fixed, Memory
from mementum.family.reference import State, trajectory, update
from mementum.family.rule import Coefficients, Rule, SquareOf

ULP = np.finfo(np.float64).eps
MEMORIES: list[Average] = [
    Memory.adam(0.99),
    Memory.adamnc(),
    Memory.adax(0.01),
    Fixed(0.9),
]

NUMBERS = Coefficients(
    scale=-0.5,
    pull=0.125,
    take_m=0.25,
    square_g=2.0,
    square_m=-3.0,
    take_v=0.75,
    eps_in=0.5,
    eps_root=0.0625,
    eps_out=0.03125,
    shrink=0.01,
    step_g=0.3,
    step_m=0.7,
)


def equations(c: Coefficients, grad: float, p: float, m: float, v: float, k: float):
    """Return p, m, v, k after the step that the design writes down, in scalars."""
    g = c.scale * grad + c.pull * p
    m = m + c.take_m * (g - m)
    u = c.square_g * g + c.square_m * m
    v = v + c.take_v * (u * u + c.eps_in - v)
    k = max(k, v)
    root = math.sqrt(k + c.eps_root)
    p = p - (c.shrink * p + (c.step_g * g + c.step_m * m) / (root + c.eps_out))
    return p, m, v, k


@pytest.mark.parametrize("field", [None, *Coefficients._fields])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.6])
def test_the_kernel_is_its_equations(field: str | None, value: float) -> None:
    c = NUMBERS if field is None else NUMBERS._replace(**{field: value})
    start = (1.5, -0.25, 0.125, 0.75)
    got = update(c, [2.0], State(*(np.array([x]) for x in start)), peak=True)
    expected = equations(c, 2.0, *start)
    # The same dozen operations, in another order at most.
    assert [x.item() for x in got] == pytest.approx(expected, rel=16 * ULP)


def test_without_a_peak_the_square_divides_and_the_peak_stays() -> None:
    large = State(*(np.array([x]) for x in (1.0, 0.0, 0.0, 1e6)))
    with_peak = update(NUMBERS, [2.0], large, peak=True)
    without = update(NUMBERS, [2.0], large, peak=False)
    assert without.v == with_peak.v
    assert without.k == 1e6
    assert abs(1.0 - without.p) > abs(1.0 - with_peak.p)


def test_nothing_given_is_modified() -> None:
    arrays = [np.full(3, x) for x in (1.0, 0.5, 0.25, 0.125)]
    grad = np.full(3, 2.0)
    for array in (*arrays, grad):
        array.setflags(write=False)
    after = update(NUMBERS, grad, State(*arrays), peak=True)
    assert not any(np.shares_memory(new, old) for new in after for old in arrays)


def test_the_start_is_a_copy_with_empty_moments() -> None:
    p = np.array([1.0, 2.0], dtype=np.float32)
    start = State.start(p)
    p[:] = 7.0
    assert start.p.tolist() == [1.0, 2.0]
    assert all(array.dtype == np.float64 for array in start)
    assert not any(moment.any() for moment in start[1:])


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_every_shape_is_kept(shape: tuple[int, ...]) -> None:
    state = State.start(np.ones(shape))
    after = update(NUMBERS, np.ones(shape), state, peak=True)
    assert all(np.shape(array) == shape for array in after)


def test_a_factor_of_zero_removes_its_term_whatever_it_holds() -> None:
    """A broken number poisons what uses it, and nothing else."""
    momentum = State.start([1.0])._replace(m=np.array([np.nan]))
    unused = NUMBERS._replace(square_m=0.0, step_m=0.0)
    assert np.isfinite(update(unused, [2.0], momentum, peak=False).p).all()
    parameter = State.start([np.inf])
    unused = NUMBERS._replace(pull=0.0, shrink=0.0)
    after = update(unused, [2.0], parameter, peak=False)
    assert np.isfinite([after.m, after.v]).all()
    assert after.p == np.inf


def test_a_trajectory_counts_from_one_and_chains_its_steps() -> None:
    rule = Rule(momentum=Fixed(0.9), square=Memory.adax(0.01), debias_momentum=True)
    gradients = heavy_tailed(5, 4, seed=1)
    states = list(trajectory(rule, 0.1, np.ones(4), gradients))
    assert len(states) == 5
    state = State.start(np.ones(4))
    for t, (grad, got) in enumerate(zip(gradients, states, strict=True), start=1):
        state = update(rule.at(t, 0.1), grad, state, peak=False)
        for one, other in zip(state, got, strict=True):
            np.testing.assert_array_equal(one, other)


def test_no_gradients_are_no_steps() -> None:
    rule = Rule(momentum=Fixed(0.9), square=Memory.adamnc())
    assert list(trajectory(rule, 0.1, np.ones(4), [])) == []


@pytest.mark.parametrize("memory", MEMORIES, ids=repr)
def test_moments_are_the_profile_times_the_past(memory: Any) -> None:
    steps = 100
    gradients = heavy_tailed(steps, 20, seed=2)
    rule = Rule(momentum=Fixed(0.8), square=memory)
    *_, last = trajectory(rule, 0.1, np.ones(20), gradients)
    # Each step rounds a moment by a few ulp of its largest term, and means of squares
    # have no cancellation; the momentum has, so its bound is that of the largest.
    square = np.array(memory.profile(steps)) @ gradients**2
    np.testing.assert_allclose(last.v, square, rtol=4 * steps * ULP)
    momentum = np.array(Fixed(0.8).profile(steps)) @ gradients
    bound = 4 * steps * ULP * np.abs(gradients).max(axis=0)
    assert (np.abs(last.m - momentum) <= bound).all()


@pytest.mark.parametrize("memory", MEMORIES, ids=repr)
@pytest.mark.parametrize("source", SquareOf)
def test_what_is_squared_is_what_the_rule_names(source: SquareOf, memory: Any) -> None:
    steps = 50
    gradients = heavy_tailed(steps, 20, seed=3)
    rule = Rule(momentum=Fixed(0.8), square=memory, square_of=source, eps_out=1e-3)
    states = list(trajectory(rule, 0.1, np.ones(20), gradients))
    momenta = np.array([state.m for state in states])
    u = {
        SquareOf.GRADIENT: gradients,
        SquareOf.MOMENTUM: momenta,
        SquareOf.RESIDUAL: gradients - momenta,
    }[source]
    square = np.array(memory.profile(steps)) @ u**2
    np.testing.assert_allclose(states[-1].v, square, rtol=4 * steps * ULP)


def test_the_peak_is_the_largest_square_so_far() -> None:
    rule = Rule(momentum=Fixed(0.5), square=Fixed(0.5), peak=True, eps_out=1e-8)
    states = list(trajectory(rule, 0.1, np.ones(20), heavy_tailed(50, 20, seed=4)))
    squares = np.array([state.v for state in states])
    peaks = np.array([state.k for state in states])
    np.testing.assert_array_equal(peaks, np.maximum.accumulate(squares))
    assert (peaks > squares).any()


def test_an_eps_in_every_sample_is_an_eps_under_the_root() -> None:
    """An unbiased mean of ``u**2 + eps`` is the mean of ``u**2``, plus eps."""
    inside = Rule(momentum=Fixed(0.9), square=Memory.adax(0.01), eps_in=1e-3)
    beneath = replace(inside, eps_in=0.0, eps_root=1e-3)
    gradients = heavy_tailed(200, 20, seed=5)
    *_, one = trajectory(inside, 0.1, np.ones(20), gradients)
    *_, other = trajectory(beneath, 0.1, np.ones(20), gradients)
    # 200 steps, each adding a few ulp to a displacement of at most 20.
    np.testing.assert_allclose(one.p, other.p, rtol=0, atol=200 * 20 * ULP)
