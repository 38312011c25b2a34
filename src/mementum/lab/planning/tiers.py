"""What a tier of a comparison spends."""

from __future__ import annotations

from typing import NamedTuple

from mementum.lab.records.plan import Design
from mementum.lab.tasks.task import Tier


class Spending(NamedTuple):
    """What a tier spends unless told otherwise."""

    rates: int
    """How many learning rates."""
    factor: float
    """The ratio of neighbouring learning rates."""
    trials: int
    """How many settings of all hyperparameters are tried besides."""
    widen: int
    """How often a grid may be widened whose end was best."""
    pilot: tuple[tuple[int, int], ...]
    """Its rungs: how many rates, 0 for all, with how many seeds."""
    looks: tuple[int, ...]
    """After how many fresh seeds differences are looked at."""
    reach: int
    """How many of these looks are taken."""
    afford: float = 0.0
    """Further looks are taken that cost so many seconds of a task at most."""

    def design(self, rates: int, trials: int, seeds: int | None) -> Design:
        """Return the design with so many rates and trials; `seeds` make one look."""
        return Design(
            pilot=self.pilot if rates > 1 or trials else (),
            looks=self.looks if seeds is None else (seeds,),
            reach=self.reach if seeds is None else 1,
            afford=self.afford,
        )


_HALVING = ((0, 1), (3, 1), (2, 2))
"""All rates with one seed, the best three with a second, the best two with two more."""
_LOOKS = (8, 16, 32, 64)
SPENDING = {
    Tier.SMOKE: Spending(1, 10**0.5, 0, 0, ((0, 1),), (2,), 1),
    Tier.QUICK: Spending(5, 10**0.5, 0, 1, _HALVING, _LOOKS, 1, 60.0),
    Tier.STANDARD: Spending(9, 10**0.25, 24, 2, _HALVING, _LOOKS, 2, 60.0),
    Tier.PAPER: Spending(5, 10**0.5, 24, 2, ((0, 1), (2, 1)), (5, 10), 1),
}
