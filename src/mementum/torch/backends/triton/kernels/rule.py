"""One step of the rule on a tile of elements: what `mementum.family.rule` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import triton
import triton.language as tl


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kernel is compiled for; all else may change from launch to launch.

    The first four are what parameter, gradient and moments are stored in, and what a
    step is computed in. `rounds` is whether parameters are rounded with noise. `pull`,
    `square`, `direct` and `shrinks` are the terms that a step has: squared is the
    "gradient", the "momentum" or "both", and the step goes along the "momentum", the
    "gradient" or "both".

    On the device lie, where so, the twelve numbers (`tabled`), the number of the step
    as the noise wants it (`counted`), a factor of the gradient (`scaled`), and whether
    to `skip` the step. `rank` is how many dimensions have to be told apart to number
    the elements, or to find them: 0 where they lie as they are numbered. Their places
    are then computed in `index`.
    """

    param: tl.dtype
    grad: tl.dtype
    state: tl.dtype
    computed: tl.dtype
    rounds: bool = False
    peak: bool = False
    pull: bool = False
    square: str = "gradient"
    direct: str = "momentum"
    shrinks: bool = False
    tabled: bool = False
    counted: bool = False
    scaled: bool = False
    skips: bool = False
    rank: int = 0
    index: tl.dtype = tl.int32

    @property
    def widest(self) -> int:
        """Return the bits of the widest number that is stored."""
        stored = self.param, self.grad, self.state
        return max(each.primitive_bitwidth for each in stored)


class Numbers(NamedTuple):
    """The twelve numbers, as `mementum.family.rule.Coefficients` has them."""

    scale: tl.tensor
    pull: tl.tensor
    take_m: tl.tensor
    square_g: tl.tensor
    square_m: tl.tensor
    take_v: tl.tensor
    eps_in: tl.tensor
    eps_root: tl.tensor
    eps_out: tl.tensor
    shrink: tl.tensor
    step_g: tl.tensor
    step_m: tl.tensor


class Element(NamedTuple):
    """What a step changes."""

    p: tl.tensor
    m: tl.tensor
    v: tl.tensor
    k: tl.tensor


@triton.jit
def tabled(row):
    """Return the twelve numbers of a row in memory."""
    return Numbers(
        tl.load(row),
        tl.load(row + 1),
        tl.load(row + 2),
        tl.load(row + 3),
        tl.load(row + 4),
        tl.load(row + 5),
        tl.load(row + 6),
        tl.load(row + 7),
        tl.load(row + 8),
        tl.load(row + 9),
        tl.load(row + 10),
        tl.load(row + 11),
    )


@triton.jit
def advance(c, g, at, KIND: tl.constexpr):
    """Return the elements after a step with the numbers `c` and the gradient `g`."""
    g = g * c.scale
    if KIND.pull:
        g = at.p * c.pull + g
    m = at.m + (g - at.m) * c.take_m
    if KIND.square == "gradient":
        u = g * c.square_g
    elif KIND.square == "momentum":
        u = m * c.square_m
    else:
        u = m * c.square_m + g * c.square_g
    v = at.v + ((u * u + c.eps_in) - at.v) * c.take_v
    k = at.k
    largest = v
    if KIND.peak:
        # NaN wins on either side, as in torch.maximum.
        k = tl.where((at.k > v) | (at.k != at.k), at.k, v)
        largest = k
    if KIND.direct == "momentum":
        numerator = m * c.step_m
    elif KIND.direct == "gradient":
        numerator = g * c.step_g
    else:
        numerator = m * c.step_m + g * c.step_g
    if KIND.computed == tl.float64:
        step = numerator / (tl.sqrt(largest + c.eps_root) + c.eps_out)
    else:
        step = tl.div_rn(numerator, tl.sqrt_rn(largest + c.eps_root) + c.eps_out)
    if KIND.shrinks:
        step = at.p * c.shrink + step
    return Element(at.p - step, m, v, k)
