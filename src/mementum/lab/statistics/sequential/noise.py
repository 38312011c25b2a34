"""What a task can tell: the spread of its differences, and the seeds that they need."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy import special, stats

from mementum.lab.statistics.verdicts import (
    POWER,
    Contrast,
    Verdict,
    detectable_errors,
)

EFFECT = 2
"""Of so many margins is the effect that a task is to see: of 2 %."""
MOST = 64
"""It is to see it with so many seeds at most."""
_LEVEL = 0.95
_FAR = 10**6


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The noise card of a task.

    `spread` is the standard deviation of a paired difference on the task's scale, the
    median over contenders. `effect` is how many seeds call a difference of twice the
    margin better or worse, and `equal` how many call equals equivalent, each with
    probability 0.8 in one comparison at 5 %.
    """

    spread: float
    effect: int
    equal: int

    @property
    def ranks(self) -> bool:
        """Whether the task sees twice its margin within 64 seeds."""
        return self.effect <= MOST


def card(contrasts: Sequence[Contrast], margin: float) -> Noise | None:
    """Return the noise card of a task; None without two pairs of any contender."""
    spreads = [
        error * math.sqrt(len(each.pairs.differences))
        for each in contrasts
        if (error := each.pairs.error) is not None
    ]
    return of_spread(statistics.median(spreads), margin) if spreads else None


def of_spread(spread: float, margin: float) -> Noise:
    """Return the card of a task whose differences have this standard deviation."""
    return Noise(
        spread=spread,
        effect=_seeds((EFFECT - 1) * margin, spread, _LEVEL),
        equal=_within(0.0, margin, spread, _LEVEL),
    )


def _seeds(distance: float, spread: float, level: float) -> int:
    """Return how many seeds see this distance with probability 0.8."""

    def sees(n: int) -> bool:
        return detectable_errors(n - 1, level) * spread <= distance * math.sqrt(n)

    return _fewest(sees)


def _within(mean: float, margin: float, spread: float, level: float) -> int:
    """Return how many seeds call a difference within the margin equivalent."""

    def holds(n: int) -> bool:
        reach = float(stats.t.isf((1 - level) / 2, n - 1))
        root = math.sqrt(n) / spread if spread else math.inf
        sides = [(margin - mean) * root - reach, (margin + mean) * root - reach]
        return float(sum(special.ndtr(sides))) - 1 >= POWER

    return _fewest(holds)


def _fewest(fits: Callable[[int], bool]) -> int:
    """Return the least number of seeds, two or more, that fits: found by halving."""
    high = 2
    while not fits(high):
        if high > _FAR:
            return _FAR
        high *= 2
    low = max(2, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return high


def more_seeds(contrast: Contrast, level: float) -> int | None:
    """Return how many more seeds should decide an open contrast, with chance 0.8.

    At the difference and the spread found so far, and this level of its interval. None
    where there is no spread yet, or the difference lies at the margin itself.
    """
    pairs = contrast.pairs
    mean, error, count = pairs.mean, pairs.error, len(pairs.differences)
    if contrast.verdict is not Verdict.INCONCLUSIVE or mean is None or error is None:
        return None
    distance = abs(abs(mean) - contrast.margin)
    spread = error * math.sqrt(count)
    if distance * math.sqrt(_FAR) < spread * 3:
        return None
    if abs(mean) < contrast.margin:
        total = _within(mean, contrast.margin, spread, level)
    else:
        total = _seeds(distance, spread, level)
    return max(1, total - count)
