"""The kernel in NumPy float64: the definition of correct.

p parameter, g gradient, m momentum, v square, k peak, c the twelve numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mementum.family.rule import Coefficients, Rule

_Array = NDArray[np.float64]


class State(NamedTuple):
    """A parameter and its moments, of one shape; `k` is unused without a peak."""

    p: _Array
    m: _Array
    v: _Array
    k: _Array

    @classmethod
    def start(cls, p: ArrayLike) -> State:
        """Return the state before the first step: the parameter, and zeros."""
        parameter = np.array(p, dtype=np.float64)
        return cls(parameter, *(np.zeros_like(parameter) for _ in range(3)))


def update(c: Coefficients, grad: ArrayLike, state: State, *, peak: bool) -> State:
    """Return the state after one step with the numbers `c`; nothing is modified."""
    p, m, v, k = state
    g = c.scale * np.asarray(grad, dtype=np.float64)
    if c.pull != 0.0:
        g = g + c.pull * p
    m = m + c.take_m * (g - m)
    u = _weighted(c.square_g, g, c.square_m, m)
    v = v + c.take_v * (u * u + c.eps_in - v)
    k = np.maximum(k, v) if peak else k
    divisor = np.sqrt((k if peak else v) + c.eps_root) + c.eps_out
    step = _weighted(c.step_g, g, c.step_m, m) / divisor
    if c.shrink != 0.0:
        step = step + c.shrink * p
    return State(p - step, m, v, k)


def trajectory(
    rule: Rule, lr: float, p: ArrayLike, grads: Iterable[ArrayLike]
) -> Iterator[State]:
    """Yield the state after each of the steps that `grads` drives, from step 1."""
    state = State.start(p)
    for t, grad in enumerate(grads, start=1):
        state = update(rule.at(t, lr), grad, state, peak=rule.peak)
        yield state


def _weighted(a: float, x: _Array, b: float, y: _Array) -> _Array:
    """Return ``a x + b y``, where a factor of zero removes its term, infinities too."""
    if a == 0.0:
        return b * y
    return a * x if b == 0.0 else a * x + b * y
