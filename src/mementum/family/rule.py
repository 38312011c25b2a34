"""A member of the family, and the twelve numbers that are all a kernel is told."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from mementum.family.memory import Average, Namespace


class SquareOf(enum.Enum):
    """What the second moment averages the square of: ``g``, ``m`` or ``g - m``."""

    GRADIENT = "gradient"
    MOMENTUM = "momentum"
    RESIDUAL = "residual"


class Coefficients(NamedTuple):
    """The numbers of one step, in the order of their use.

    With the parameter p, momentum m, square v and peak k:

        g      = scale * grad + pull * p
        m     += take_m * (g - m)
        u      = square_g * g + square_m * m
        v     += take_v * (u * u + eps_in - v)
        k      = max(k, v)                          only where the rule keeps its peak
        p     -= shrink * p
               + (step_g * g + step_m * m) / (sqrt(k or v, + eps_root) + eps_out)

    A number that is the plain 0.0 (or, for a factor of g or m, 1.0) removes its
    operation.
    """

    scale: Any
    pull: Any
    take_m: Any
    square_g: Any
    square_m: Any
    take_v: Any
    eps_in: Any
    eps_root: Any
    eps_out: Any
    shrink: Any
    step_g: Any
    step_m: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One member of the family: what it averages, over which memory, and its decay.

    `debias_momentum` steps along the momentum divided by its mass; `debias_square`
    divides the square by its mass after the peak was taken (only AMSGrad as torch
    has it needs that: a `Memory` is unbiased by itself). `eps_in` is added to every
    squared sample, `eps_root` under the root, `eps_out` outside it. `weight_decay`
    shrinks the parameter by ``lr * weight_decay`` where `decoupled`, and pulls the
    gradient towards it where not.
    """

    momentum: Average
    square: Average
    square_of: SquareOf = SquareOf.GRADIENT
    peak: bool = False
    debias_momentum: bool = False
    debias_square: bool = False
    eps_in: Any = 0.0
    eps_root: Any = 0.0
    eps_out: Any = 0.0
    weight_decay: Any = 0.0
    decoupled: bool = False

    def at(self, t: Any, lr: Any, xp: Namespace = math) -> Coefficients:
        """Return the numbers of step `t` (the first is 1) at learning rate `lr`."""
        step = lr
        if self.debias_momentum:
            step = step / self.momentum.mass(t, xp)
        eps_root, eps_out = self.eps_root, self.eps_out
        if self.debias_square:
            mass = self.square.mass(t, xp)
            step, eps_out = step * xp.sqrt(mass), eps_out * xp.sqrt(mass)
            eps_root = eps_root * mass
        square_g, square_m = _SOURCE[self.square_of]
        decays = not plainly(self.weight_decay, 0)
        return Coefficients(
            scale=1.0,
            pull=self.weight_decay if decays and not self.decoupled else 0.0,
            take_m=self.momentum.weight(t, xp),
            square_g=square_g,
            square_m=square_m,
            take_v=self.square.weight(t, xp),
            eps_in=self.eps_in,
            eps_root=eps_root,
            eps_out=eps_out,
            shrink=lr * self.weight_decay if decays and self.decoupled else 0.0,
            step_g=0.0,
            step_m=step,
        )


_SOURCE = {
    SquareOf.GRADIENT: (1.0, 0.0),
    SquareOf.MOMENTUM: (0.0, 1.0),
    SquareOf.RESIDUAL: (1.0, -1.0),
}


def plainly(number: Any, value: int) -> bool:
    """Whether a number is `value`, as far as can be told without asking a device."""
    return isinstance(number, float | int) and number == value
