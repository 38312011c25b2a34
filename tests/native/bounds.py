"""How far the kernel may lie from the reference after one step from the same state.

Every operation rounds its exact result by at most u of it (u is 2**-24 in float32),
or, where that is denormal, by at most half the smallest denormal. `step` adds up what
the operations of a step may lose, each in its own line. What it comes to:

- a moment lies within half an ulp of itself, plus four roundings of the distance it
  was moved. Where it was moved by an eighth of itself at most, that is 1 ulp;
- a parameter lies within half an ulp of itself, plus some ten roundings of the step
  it took: the cancellation term, which only shows where a parameter lands much
  nearer to zero than it started. Where the step is an eighth of the parameter at
  most, that is 2 ulp.

A gradient that cancels against a pull, or a residual ``g - m`` that cancels, hands on
the roundings of what it was made from; the lines below carry them along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mementum.family.reference import State, update
from mementum.family.rule import Coefficients

Array = NDArray[np.float64]

# Unit roundoff, smallest denormal and largest number.
FORMATS = {
    torch.float64: (2.0**-53, 2.0**-1074, np.finfo(np.float64).max),
    torch.float32: (2.0**-24, 2.0**-149, float(np.finfo(np.float32).max)),
    torch.float16: (2.0**-11, 2.0**-24, 65504.0),
    torch.bfloat16: (2.0**-8, 2.0**-133, float(torch.finfo(torch.bfloat16).max)),
}
# Terms of the second order in u, a thousandth of the first with room to spare.
SLACK = 1.001


@dataclass(frozen=True, slots=True)
class Around:
    """Exact numbers, and how far from each the kernel's may lie."""

    value: Array
    error: Array


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Operations as a format rounds them. A factor of zero or one is left out."""

    u: float
    smallest: float

    def rounded(self, value: Array, error: Array) -> Around:
        """Round a result whose operands' errors come to `error`."""
        _, exponent = np.frexp(abs(value) + error)
        half_ulp = np.maximum(np.ldexp(self.u, exponent - 1), self.smallest / 2)
        exact = (value == 0) & (error == 0)
        return Around(value, error + np.where(exact, 0.0, half_ulp))

    def number(self, value: float) -> Around:
        """Bring one of the twelve numbers into the format."""
        exact = np.asarray(value, dtype=np.float64)
        short = np.float32(value) if self.u == 2.0**-24 else value
        return Around(exact, abs(np.float64(short) - exact))

    def times(self, a: Around, b: Around) -> Around:
        error = abs(a.value) * b.error + abs(b.value) * a.error + a.error * b.error
        return self.rounded(a.value * b.value, error)

    def plus(self, a: Around, b: Around) -> Around:
        return self.rounded(a.value + b.value, a.error + b.error)

    def minus(self, a: Around, b: Around) -> Around:
        return self.rounded(a.value - b.value, a.error + b.error)

    def root(self, a: Around) -> Around:
        value = np.sqrt(a.value)
        # |sqrt(x) - sqrt(y)| is at most |x - y| / sqrt(x), and at most its root.
        error = np.minimum(a.error / np.maximum(value, 1e-300), np.sqrt(a.error))
        return self.rounded(value, error)

    def over(self, a: Around, b: Around) -> Around:
        value = a.value / b.value
        least = b.value - b.error
        error = (a.error + abs(value) * b.error) / np.where(least > 0, least, np.nan)
        return self.rounded(value, error)

    def weighted(self, a: float, x: Around, b: float, y: Around) -> Around:
        if a == 0:
            return y if b == 1 else self.times(y, self.number(b))
        scaled = x if a == 1 else self.times(x, self.number(a))
        return scaled if b == 0 else self.plus(self.times(y, self.number(b)), scaled)

    def approached(self, mean: Around, sample: Around, take: float) -> Around:
        moved = self.times(self.minus(sample, mean), self.number(take))
        return self.plus(mean, moved)


def step(
    c: Coefficients,
    grad: Array,
    state: State,
    *,
    peak: bool,
    moments: torch.dtype,
    parameter: torch.dtype,
    gradient: torch.dtype,
) -> tuple[State, State]:
    """Return the reference's state after a step, and how far ours may lie from it.

    A bound is NaN where the analysis ends: where the true result is not finite, or
    the divisor is lost in rounding.
    """
    with np.errstate(all="ignore"):
        expected = update(c, grad, state, peak=peak)
        u, smallest, largest = FORMATS[moments]
        # The reference rounds like float64 itself, so both are off.
        do = Arithmetic(2 * u if moments == torch.float64 else u, smallest)
        p, m, v, k = (Around(x, np.zeros_like(x)) for x in state)
        g = Around(c.scale * grad, np.zeros_like(grad))
        # Float64 moments take in any number as it is; float32 ones round a float64.
        if parameter == torch.float64:
            p = do.rounded(p.value, p.error)
        if gradient == torch.float64:
            g = do.rounded(g.value, g.error)
        if c.pull:
            g = do.plus(do.times(p, do.number(c.pull)), g)
        m = do.approached(m, g, c.take_m)
        used = do.weighted(c.square_g, g, c.square_m, m)
        sample = do.times(used, used)
        if c.eps_in:
            sample = do.plus(sample, do.number(c.eps_in))
        v = do.approached(v, sample, c.take_v)
        seen = Around(np.maximum(k.value, v.value), v.error) if peak else v
        divisor = do.plus(
            do.root(do.plus(seen, do.number(c.eps_root))), do.number(c.eps_out)
        )
        taken = do.over(do.weighted(c.step_g, g, c.step_m, m), divisor)
        if c.shrink:
            taken = do.plus(do.times(p, do.number(c.shrink)), taken)
        passed = [used.value**2, seen.value, m.value, g.value, taken.value, p.value]
        p = _stored(do.minus(p, taken), parameter, moments)
        fits = np.all([abs(x) + 0.0 < largest / 4 for x in passed], axis=0)
        fits &= abs(p.value) + p.error < FORMATS[parameter][2]
        errors = (
            p.error,
            m.error,
            v.error,
            seen.error if peak else np.zeros_like(p.value),
        )
        return expected, State(*(np.where(fits, SLACK * e, np.nan) for e in errors))


def _stored(p: Around, parameter: torch.dtype, moments: torch.dtype) -> Around:
    """Round a parameter to what it is stored in."""
    if parameter == moments or parameter == torch.float64:
        return p
    if moments == torch.float64 and parameter != torch.float32:
        p = Arithmetic(*FORMATS[torch.float32][:2]).rounded(p.value, p.error)
    return Arithmetic(*FORMATS[parameter][:2]).rounded(p.value, p.error)
