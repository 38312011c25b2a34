"""How far a step in short numbers may lie from the reference: a running analysis.

Each operation of the kernel rounds its exact result by at most the unit roundoff u of
its dtype, and hands on the errors of what it is given. `errors_after` adds these up,
operation by operation, so that a bound holds for every element and no tolerance is
chosen by hand. Terms of u squared are covered by `SLACK`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tests.torch.cases import Member, numbers_of
from torch import Tensor

from mementum.family.reference import State, update
from mementum.family.rule import Coefficients

Array = NDArray[np.float64]
SLACK = 1 + 2.0**-20
ROUNDOFF = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.float16: 2.0**-11,
    torch.bfloat16: 2.0**-8,
}


class Units(NamedTuple):
    """Unit roundoffs: of the arithmetic, the twelve numbers, and the parameter.

    `smallest` is half the gap between the parameter's smallest numbers.
    """

    arithmetic: float
    numbers: float
    parameter: float
    smallest: float

    @classmethod
    def of(cls, dtype: torch.dtype) -> Units:
        """Return the units of a parameter whose moments are float32 at least."""
        wide = torch.promote_types(dtype, torch.float32)
        u = ROUNDOFF[wide]
        smallest = torch.finfo(dtype).smallest_normal * ROUNDOFF[dtype]
        return cls(u, u, 0.0 if dtype == wide else ROUNDOFF[dtype], smallest)


def follow(
    member: Member,
    param: Tensor,
    grads: Iterable[Tensor | None],
    units: Units | None = None,
    **options: Any,
) -> tuple[State, State]:
    """Return a parameter's state by the reference, and bounds on a run's distance."""
    units = units or Units.of(param.dtype)
    state = State.start(param.detach().double().numpy())
    errors = exactly(state)
    taken = (grad for grad in grads if grad is not None)
    for t, grad in enumerate(taken, start=1):
        c, peak = numbers_of(member, t, **options)
        g = grad.double().numpy()
        state, errors = errors_after(c, g, state, errors, units, peak=peak)
    return state, errors


def state_of(optimizer: torch.optim.Optimizer, param: Tensor) -> State:
    """Return the state of a parameter as the reference has it; no peak is zeros."""
    kept = optimizer.state[param]
    m, v = kept["momentum"], kept["square"]
    parts = (param.detach(), m, v, kept.get("peak", torch.zeros_like(v)))
    return State(*(part.double().numpy().copy() for part in parts))


def assert_within(found: State, expected: State, errors: State) -> None:
    """Refuse a state further from the expected one than the errors allow."""
    for name, a, b, bound in zip(State._fields, found, expected, errors, strict=True):
        worst = np.max(abs(a - b) / np.maximum(bound, 1e-300), initial=0.0)
        assert np.all(abs(a - b) <= bound), f"{name}: {worst} of the bound"


def exactly(state: State) -> State:
    """Return the errors of a state that has none."""
    return State(*(np.zeros_like(part) for part in state))


def errors_after(
    c: Coefficients,
    grad: Array,
    state: State,
    errors: State,
    units: Units,
    *,
    peak: bool,
) -> tuple[State, State]:
    """Return the reference's next state, and bounds on the errors of the kernel's.

    `errors` bounds how far the kernel's present state lies from `state`.
    """
    u, un = units.arithmetic, units.numbers
    after = update(c, grad, state, peak=peak)
    g = c.scale * grad + c.pull * state.p
    of_g = np.zeros_like(g)
    if c.pull != 0.0:
        of_g = c.pull * errors.p + (un + u) * abs(c.pull * state.p) + u * abs(g)
    of_m = _mean(c.take_m, g, of_g, state.m, errors.m, after.m, u, un)
    factor = c.square_g * g + c.square_m * after.m
    of_factor = abs(c.square_g) * of_g + abs(c.square_m) * of_m + u * abs(factor)
    sample = factor**2 + c.eps_in
    of_sample = 2 * abs(factor) * of_factor + of_factor**2
    of_sample = of_sample + u * factor**2 + (u + un) * sample
    of_v = _mean(c.take_v, sample, of_sample, state.v, errors.v, after.v, u, un)
    of_k = np.maximum(errors.k, of_v) if peak else errors.k
    under = (after.k if peak else after.v) + c.eps_root
    of_under = (of_k if peak else of_v) + un * c.eps_root + u * under
    root = np.sqrt(under)
    # |sqrt(a) - sqrt(b)| is at most |a - b| / sqrt(b), and at most sqrt(|a - b|).
    of_root = np.sqrt(of_under)
    of_root = np.divide(of_under, root, out=of_root, where=of_under < under) + u * root
    divisor = root + c.eps_out
    of_divisor = of_root + un * c.eps_out + u * divisor
    along = c.step_g * g + c.step_m * after.m
    of_along = abs(c.step_g) * of_g + abs(c.step_m) * of_m + (un + 2 * u) * abs(along)
    step = along / divisor
    of_step = (of_along + abs(step) * of_divisor) / (divisor - of_divisor)
    of_step = of_step + u * abs(step)
    if c.shrink != 0.0:
        shrunk = c.shrink * state.p
        of_step = of_step + c.shrink * errors.p + (un + u) * abs(shrunk)
        of_step = of_step + u * abs(step + shrunk)
    of_p = errors.p + of_step + u * abs(after.p)
    of_p = of_p + units.parameter * (abs(after.p) + of_p) + units.smallest
    return after, State(*(SLACK * part for part in (of_p, of_m, of_v, of_k)))


def _mean(
    take: float,
    sample: Array,
    of_sample: Array,
    mean: Array,
    of_mean: Array,
    after: Array,
    u: float,
    un: float,
) -> Array:
    """Return the error of ``mean + take (sample - mean)``."""
    difference = take * abs(sample - mean)
    kept = (1 - take) * of_mean + take * of_sample
    return kept + (2 * u + un) * difference + u * abs(after)
