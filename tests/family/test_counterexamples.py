"""Reddi's problems, on which Adam fails: who solves them, and who does not.

One large gradient a period, smaller ones against it, on [-1, 1] (arXiv:1904.09237).
The optimum is -1 and the worst point +1. Every element is one phase of the period.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mementum.family.recipes import RECIPES
from mementum.family.reference import State, update
from mementum.family.rule import Rule

Array = NDArray[np.float64]


def rule(name: str, **hyperparameters: Any) -> Rule:
    return RECIPES[name].rule(hyperparameters)


def last_period(rule: Rule, gradients: Array, scale: float, steps: int) -> Array:
    """Return each phase's mean point over its last period.

    The start is 0, the learning rate ``scale / sqrt(t)``.
    """
    period = len(gradients)
    phases = np.arange(period)
    state = State.start(np.zeros(period))
    total = np.zeros(period)
    for t in range(1, steps + 1):
        grad = gradients[(t - 1 + phases) % period]
        numbers = rule.at(t, scale / math.sqrt(t))
        state = update(numbers, grad, state, peak=rule.peak)
        state = state._replace(p=np.clip(state.p, -1, 1))
        if t > steps - period:
            total += state.p / period
    return total


SMALL: dict[str, Callable[[float], Rule]] = {
    "AMSGrad paper": lambda b: rule("AMSGrad", betas=(0.0, b)),
    "AMSGrad torch": lambda b: rule("AMSGrad", betas=(0.0, b), variant="torch"),
    "AMSGrad optax": lambda b: rule("AMSGrad", betas=(0.0, b), variant="optax"),
    "AdamNC": lambda _: rule("AdamNC", momentum=0.0),
    "AdaX": lambda _: rule("AdaX", betas=(0.0, 1e-4), weight_decay=0.0),
    "AdamNX": lambda _: rule("AdamNX", betas=(0.0, 0.99), weight_decay=0.0),
    "AdaMomentum": lambda _: rule("AdaMomentum", betas=(0.0, 0.99)),
}


@pytest.mark.parametrize("slope", [3.0, 10.0])
def test_reddis_first_problem_is_solved_by_all_but_adam(slope: float) -> None:
    gradients = np.array([slope, -1.0, -1.0])
    beta2 = 1 / (1 + slope**2)
    adam = rule("Adam", betas=(0.0, beta2))
    # At step 2,000 the learning rate is 0.022. A period takes the point from the wall
    # by about one learning rate and back again.
    assert (last_period(adam, gradients, 1.0, 2_000) > 0.97).all()
    for name, made in SMALL.items():
        end = last_period(made(beta2), gradients, 1.0, 2_000)
        assert (end < -0.97).all(), name


PERIODIC = np.array([1010.0] + [-10.0] * 100)


@pytest.mark.parametrize(
    ("solver", "beta2", "scale"),
    [("Adam", 0.99, 1.0), ("Adam", 0.999, 3.0), ("AdaMomentum", 0.99, 1.0)],
)
def test_reddis_second_problem_drives_short_memories_to_the_worst_point(
    solver: str, beta2: float, scale: float
) -> None:
    end = last_period(rule(solver, betas=(0.9, beta2)), PERIODIC, scale, 8_000)
    assert (end > 0.7).all()


@pytest.mark.parametrize(
    ("solver", "hyperparameters"),
    [
        ("AMSGrad", {"betas": (0.9, 0.99), "variant": "paper"}),
        ("AMSGrad", {"betas": (0.9, 0.99), "variant": "torch"}),
        ("AMSGrad", {"betas": (0.9, 0.99), "variant": "optax"}),
        ("AdamNC", {}),
        ("AdaX", {"weight_decay": 0.0}),
        ("AdamNX", {"weight_decay": 0.0}),
    ],
    ids=str,
)
def test_reddis_second_problem_is_solved_by_long_memories_from_every_phase(
    solver: str, hyperparameters: dict[str, Any]
) -> None:
    """The wall at -1 is approached as the steps shrink; the worst phase is at -0.43."""
    end = last_period(rule(solver, **hyperparameters), PERIODIC, 10.0, 10_000)
    assert (end < -0.4).all()
