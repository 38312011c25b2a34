"""The dial: how a running mean weighs the past.

A running mean takes in its newest sample as ``mean += weight(t) * (sample - mean)``.
`Memory` gives the sample of step k a weight proportional to ``ratio ** -k``, so that
one number tells Adam, AdamNC, AdaX and AdamNX apart. `Fixed` is the average that is
never corrected for its start at zero.

Steps are counted from 1. Every method takes the module that does the arithmetic as
``xp``: `math` (the default), `numpy`, `torch` or `jax.numpy`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Protocol

# Too small to change any number it is added to, and larger than zero, in float32 too,
# so that the limits (a beta of 0, a ratio of 1) need no branch, which a traced tensor
# could not take.
_TINY = 1e-37


class Namespace(Protocol):
    """The arithmetic `math`, `numpy`, `torch` and `jax.numpy` have in common."""

    @property
    def exp(self) -> Callable[..., Any]:
        """The exponential of x."""

    @property
    def expm1(self) -> Callable[..., Any]:
        """The exponential of x, minus one."""

    @property
    def log(self) -> Callable[..., Any]:
        """The natural logarithm of x."""

    @property
    def log1p(self) -> Callable[..., Any]:
        """The natural logarithm of one plus x."""

    @property
    def sqrt(self) -> Callable[..., Any]:
        """The square root of x."""


class Average(Protocol):
    """How a running mean takes in its newest sample."""

    def weight(self, t: Any, xp: Namespace = math) -> Any:
        """Return the weight of the newest sample at step `t`."""

    def mass(self, t: Any, xp: Namespace = math) -> Any:
        """Return the total weight the mean carries after `t` samples."""

    def profile(self, steps: int) -> list[float]:
        """Return the weight that each of `steps` samples has in the mean."""

    def length(self, t: int) -> float:
        """Return how many samples the mean holds in effect after `t` of them."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A mean in which each sample weighs ``exp(log_ratio)`` times less than the last.

    A negative `log_ratio` forgets (Adam), zero keeps all samples alike (AdamNC), a
    positive one remembers the oldest best (AdaX, AdamNX). The mean is unbiased from
    the first sample on: its weights sum to one.

        weight(t) = expm1(log_ratio) / expm1(t log_ratio)

    Errors: `ValueError` if `log_ratio` is not finite.

    >>> Memory.adamnc().weight(4)
    0.25
    >>> [round(w, 3) for w in Memory.adam(0.9).profile(3)]
    [0.299, 0.332, 0.369]
    """

    log_ratio: Any

    def __post_init__(self) -> None:
        if isinstance(self.log_ratio, str):
            raise TypeError(f"log_ratio is {self.log_ratio!r}; it wants a number.")
        if isinstance(self.log_ratio, float) and not math.isfinite(self.log_ratio):
            raise ValueError(
                f"log_ratio is {self.log_ratio}; it is the logarithm of the memory "
                "ratio and wants a finite number."
            )

    @classmethod
    def from_ratio(cls, ratio: Any, xp: Namespace = math) -> Memory:
        """Return the memory of a ratio: below 1 forgets, 1 keeps all, above 1 grows.

        Errors: `ValueError` for a negative ratio.
        """
        if _is_plain(ratio) and not ratio >= 0:
            raise ValueError(f"ratio is {ratio}; a memory ratio is 0 or more.")
        return cls(_suited(ratio, xp).log(ratio + _TINY))

    @classmethod
    def adam(cls, beta2: Any, xp: Namespace = math) -> Memory:
        """Return Adam's memory, corrected for its start (arXiv:1412.6980, section 3).

        It reaches back about ``1 / (1 - beta2)`` steps.
        """
        return cls.from_ratio(beta2, xp)

    @classmethod
    def adamnc(cls) -> Memory:
        """Return the plain mean, ``beta2_t = 1 - 1/t`` (arXiv:1904.09237, sec. 5)."""
        return cls(0.0)

    @classmethod
    def adax(cls, beta2: Any, xp: Namespace = math) -> Memory:
        """Return AdaX's growing memory, ratio ``1 + beta2`` (arXiv:2004.09740)."""
        return cls(_suited(beta2, xp).log1p(beta2))

    @classmethod
    def adamnx(cls, beta2: Any, xp: Namespace = math) -> Memory:
        """Return AdamNX's memory, ``beta2 ** -(1 - beta2)`` (arXiv:2511.13465)."""
        return cls(-(1 - beta2) * _suited(beta2, xp).log(beta2 + _TINY))

    def weight(self, t: Any, xp: Namespace = math) -> Any:
        """Return the weight of the sample of step `t`, between 0 and 1.

        The first step is 1; `ValueError` for one before it.
        Every exponent is negative, so no `t` overflows. For a growing memory the
        weight falls below the smallest float and becomes 0 after about
        ``745 / log_ratio`` steps: the mean is frozen.
        """
        if _is_plain(t) and not t >= 1:
            raise ValueError(f"t is {t}; the first step is 1.")
        if _is_plain(self.log_ratio) and self.log_ratio == 0:
            return 1.0 / t
        decay = abs(self.log_ratio) + _TINY
        newest = _suited(decay, xp).expm1(-decay) / xp.expm1(-decay * t)
        if _is_plain(self.log_ratio) and self.log_ratio < 0:
            return newest
        growth = 0.5 * (self.log_ratio + abs(self.log_ratio))
        return xp.exp(-growth * (t - 1)) * newest

    def mass(self, t: Any, xp: Namespace = math) -> Any:
        """Return 1: an unbiased mean carries its whole weight from the first step."""
        return 1.0

    def profile(self, steps: int) -> list[float]:
        """Return the weight each of `steps` samples has in the mean, oldest first."""
        decay = abs(self.log_ratio) + _TINY
        newest_first = [
            math.exp(-decay * age) * math.expm1(-decay) / math.expm1(-decay * steps)
            for age in range(steps)
        ]
        return newest_first if self.log_ratio > 0 else newest_first[::-1]

    def length(self, t: int) -> float:
        """Return how many samples the mean holds in effect after `t` of them.

        The square of the sum of their weights over the sum of the squares: as many
        alike would give a mean that varies as much.

            length(t) = tanh(t d / 2) / tanh(d / 2),   d = abs(log_ratio)

        >>> Memory.adamnc().length(10), round(Memory.adam(0.999).length(10**6))
        (10.0, 1999)
        """
        return _length(abs(self.log_ratio), t)


@dataclass(frozen=True, slots=True)
class Fixed:
    """A running mean that keeps the share `beta` and is never corrected.

    It starts at zero, so after t steps it carries the mass ``1 - beta**t`` only.

    >>> Fixed(0.5).mass(2)
    0.75
    """

    beta: Any

    def weight(self, t: Any, xp: Namespace = math) -> Any:
        """Return ``1 - beta``, whatever the step."""
        return 1 - self.beta

    def mass(self, t: Any, xp: Namespace = math) -> Any:
        """Return ``1 - beta**t``, without the cancellation of that form."""
        return -xp.expm1(t * _suited(self.beta, xp).log(self.beta + _TINY))

    def profile(self, steps: int) -> list[float]:
        """Return the weight each of `steps` samples has in the mean, oldest first."""
        return [(1 - self.beta) * self.beta**age for age in reversed(range(steps))]

    def length(self, t: int) -> float:
        """Return how many samples the mean holds in effect after `t` of them.

        The square of the sum of their weights over the sum of the squares: as many
        alike would give a mean that varies as much.

            length(t) = tanh(t d / 2) / tanh(d / 2),   d = -log(beta)

        >>> round(Fixed(0.9).length(10**6), 6)
        19.0
        """
        return _length(-math.log(self.beta + _TINY), t)


def ratio_for_horizon(steps: int, kappa: float = 7.0) -> float:
    """Return the memory ratio that has the published shape over a run of `steps`.

    The shape of a growing memory depends on ``kappa = steps * log(ratio)`` alone.
    AdaX's 1e-4 over its 71,000-step runs is a kappa of 7.

    Errors: `ValueError` unless `steps` is at least 1 and the ratio is a finite number.

    >>> round(ratio_for_horizon(1_000), 6)
    1.007025
    """
    if not isinstance(steps, int | float) or not steps >= 1:
        raise ValueError(f"steps is {steps}; a run has at least 1 step.")
    if not math.isfinite(kappa):
        raise ValueError(f"kappa is {kappa}; it wants a finite number, such as 7.")
    try:
        return math.exp(kappa / steps)
    except OverflowError:
        raise ValueError(
            f"kappa is {kappa} over {steps} steps; the ratio leaves the floats. "
            "The published runs have a kappa of 7."
        ) from None


def adamnx_beta(log_ratio: float) -> float:
    """Return the beta2 of AdamNX whose memory ratio has this logarithm.

    It is the float nearest to the solution of

        -(1 - beta2) log(beta2) = log_ratio,   which is y (exp(y) - 1), y = log(beta2),

    by Newton's method in decimals, whose arithmetic is the same on every machine.
    Errors: `ValueError` unless `log_ratio` is finite and above 0.

    >>> adamnx_beta(-0.01 * math.log(0.99))
    0.99
    """
    if not 0 < log_ratio < math.inf:
        raise ValueError(
            f"log_ratio is {log_ratio}; AdamNX's memory grows, and wants the logarithm "
            "of a ratio above 1."
        )
    exact = Decimal(log_ratio)
    # A float has 17 digits; exp(y) - 1 takes away as many as y has zeros.
    with localcontext(prec=60 - min(exact.adjusted(), 0)):
        # Left of the root, from where each step comes closer.
        y, step = -(exact + exact.sqrt()), Decimal(1)
        while abs(step) > abs(y) * Decimal("1e-30"):
            beta = y.exp()
            step = (y * (beta - 1) - exact) / (beta - 1 + y * beta)
            y -= step
        return float(y.exp())


def _length(decay: float, t: int) -> float:
    if decay < 1e-12:
        return float(t)
    return math.tanh(0.5 * decay * t) / math.tanh(0.5 * decay)


def _suited(number: Any, xp: Namespace) -> Namespace:
    """Return the module that can take `number`: `math` for plain ones, else `xp`."""
    return math if _is_plain(number) else xp


def _is_plain(number: Any) -> bool:
    return isinstance(number, float | int)
