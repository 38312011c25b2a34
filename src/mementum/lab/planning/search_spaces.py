"""What full tuning varies: ranges of hyperparameters, sampled evenly and in order.

A trial is a point of a scrambled Halton sequence: every contender draws from the same
sequence, in as many dimensions as it has, and no trial waits for the result of another.
All ranges are logarithmic. A growing memory is varied by its horizon kappa, the steps
of the run times the log of the memory ratio, so that its range means the same on short
and on long runs. Below some 140 steps the range ends at the shortest memory that all
optimizers take: the one that fits ``SHORTEST`` steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mementum.family import memory

if TYPE_CHECKING:
    from mementum.lab.records.run import Option

KAPPA = 7.0
"""The horizon of AdaX's published CIFAR-10 runs; AdamNX's are at 6.2."""
SHORTEST = 20
"""AdaX wants its second beta below 0.5, and has no memory that fits fewer steps."""
BREADTH = 10.0
"""Learning rates reach this factor below and above the published default."""
SEED = 2019


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A hyperparameter with its range, and how a value enters the options."""

    name: str
    low: float
    high: float
    apply: Callable[[dict[str, Option], float, int], None]
    """Change the options, given the value and the steps of the run."""
    per_step: float = math.inf
    """The highest value for each step of a run, as short runs have to end lower."""

    def value(self, share: float, steps: int) -> float:
        """Return the value at this share of the logarithmic range."""
        high = min(self.high, self.per_step * steps)
        return short(self.low * (high / self.low) ** share)

    def settle(self, options: dict[str, Option], share: float, steps: int) -> None:
        """Put the value at this share of the range into the options."""
        self.apply(options, self.value(share, steps), steps)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A hyperparameter with the few values it may have, as the options have them."""

    name: str
    values: tuple[Option, ...]

    def settle(self, options: dict[str, Option], share: float, steps: int) -> None:
        """Put the value at this share of the list into the options."""
        options[self.name] = self.values[int(share * len(self.values))]


def short(value: float) -> float:
    """Return the value to six digits: the same number on every machine.

    `math.expm1` and its like may differ there in the last digit, and a run is known by
    its options.
    """
    return float(f"{value:.6g}")


def adax_beta(log_ratio: float) -> float:
    """Return the beta2 of AdaX whose memory ratio has this logarithm."""
    return short(math.expm1(log_ratio))


def adamnx_beta(log_ratio: float) -> float:
    """Return the beta2 of AdamNX whose memory ratio has this logarithm.

    It is the nearest float, which is the same on every machine.
    """
    return memory.adamnx_beta(log_ratio)


def _set_betas(options: dict[str, Option], place: int, value: float) -> None:
    """Put one of the two betas."""
    betas = options["betas"]
    assert isinstance(betas, list)
    options["betas"] = [*betas[:place], value, *betas[place + 1 :]]


def _set_momentum(options: dict[str, Option], gap: float, steps: int) -> None:
    """Put the momentum, given by its distance from 1."""
    if "betas" in options:
        _set_betas(options, 0, short(1 - gap))
    else:
        options["momentum"] = short(1 - gap)


def _set_decay(options: dict[str, Option], gap: float, steps: int) -> None:
    """Put a decaying memory, given by the distance of beta2 from 1."""
    _set_betas(options, 1, short(1 - gap))


def _set_adax(options: dict[str, Option], kappa: float, steps: int) -> None:
    """Put AdaX's memory, given by its horizon."""
    _set_betas(options, 1, adax_beta(kappa / steps))


def _set_adamnx(options: dict[str, Option], kappa: float, steps: int) -> None:
    """Put AdamNX's memory, given by its horizon."""
    _set_betas(options, 1, adamnx_beta(kappa / steps))


def _set_eps(options: dict[str, Option], eps: float, steps: int) -> None:
    """Put eps."""
    options["eps"] = eps


def _set_weight_decay(options: dict[str, Option], decay: float, steps: int) -> None:
    """Put the weight decay."""
    options["weight_decay"] = decay


_GAP = Dimension(name="1 - momentum", low=0.02, high=0.5, apply=_set_momentum)
DECAY = Dimension(name="weight decay", low=1e-4, high=1e-1, apply=_set_weight_decay)
_EPS = Dimension(name="eps", low=1e-16, high=1e-6, apply=_set_eps)
_BETA2 = Dimension(name="1 - beta2", low=3e-4, high=1e-1, apply=_set_decay)
MOMENTUM = (_GAP, DECAY)
MOMENTUM_EPS = (_GAP, DECAY, _EPS)
DECAYING = (_GAP, DECAY, _EPS, _BETA2)
_HORIZON = Dimension(
    name="kappa", low=0.1, high=50, apply=_set_adax, per_step=KAPPA / SHORTEST
)
ADAX = (_GAP, DECAY, _EPS, _HORIZON)
ADAMNX = (_GAP, DECAY, _EPS, replace(_HORIZON, apply=_set_adamnx))
