"""What a tier of a comparison spends."""

from __future__ import annotations

from typing import NamedTuple

from mementum.lab.planning.schedule import SCHEDULES
from mementum.lab.records.run import CONSTANT
from mementum.lab.tasks.task import Tier


class _Spending(NamedTuple):
    """What a tier spends unless told otherwise."""

    seeds: int
    rates: int
    """How many learning rates."""
    factor: float
    """The ratio of neighbouring learning rates."""
    trials: int
    """How many settings of all hyperparameters are tried besides."""
    widen: int
    """How often a grid may be widened whose end was chosen."""
    schedules: tuple[str, ...]
    """Under which schedules of the learning rate."""


SPENDING = {
    Tier.SMOKE: _Spending(2, 1, 10**0.5, 0, 0, (CONSTANT,)),
    Tier.QUICK: _Spending(4, 5, 10**0.5, 0, 1, (CONSTANT,)),
    Tier.STANDARD: _Spending(10, 9, 10**0.25, 24, 2, tuple(SCHEDULES)),
    Tier.PAPER: _Spending(5, 5, 10**0.5, 24, 2, tuple(SCHEDULES)),
}
