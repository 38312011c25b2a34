"""Scores on a grid of learning rates, and the scale they are compared on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

DIGITS = 12
"""To how many decimals means count that choose, as shares of the largest value."""


def scale_margin(margin: float, scale: str) -> float:
    """A task's margin on its scale: log(1 + margin), so that 0.01 is 1 % of the loss.

    The bounds +-log(1 + margin) treat a ratio and its inverse alike, which makes a
    verdict change sides, and nothing else, when contender and reference change places.
    """
    return math.log1p(margin) if scale == "log" else margin


@dataclass(frozen=True)
class Grid:
    """One contender's results on one task, by learning rate and seed.

    `values[lr, seed]` is the score on the task's scale, `inf` where the run diverged,
    and absent where there is no result. `lrs` is the planned grid in ascending order.
    """

    lrs: tuple[float, ...]
    seeds: tuple[int, ...]
    values: Mapping[tuple[float, int], float]
    default: float | None = None
    """The published rate, which ties go towards; None for the middle of the grid."""

    @property
    def centre(self) -> int:
        """The place of the published rate in the grid."""
        if self.default in self.lrs:
            return self.lrs.index(self.default)
        return len(self.lrs) // 2

    @cached_property
    def size(self) -> float:
        """The largest finite value, signs aside; 1 where all are 0."""
        finite = (abs(v) for v in self.values.values() if math.isfinite(v))
        return max(finite, default=0) or 1

    def preference(self, lr: float, seeds: Sequence[int]) -> tuple[float, ...]:
        """What `best` minimises: divergences, mean score, distance from the centre.

        Means are shares of `size`, and those that differ by rounding alone tie.
        """
        found = [self.values[lr, s] for s in seeds if (lr, s) in self.values]
        finite = [value for value in found if math.isfinite(value)]
        # fsum: the mean must not depend on the order in which the runs came in.
        mean = math.fsum(finite) / len(finite) / self.size if finite else math.inf
        off_centre = abs(self.lrs.index(lr) - self.centre)
        return (len(found) - len(finite), round(mean, DIGITS), off_centre, lr)

    def best(self, seeds: Sequence[int]) -> float | None:
        """The learning rate with the lowest mean over these seeds, if there is any.

        A divergence is worse than any score, so a rate that diverged less often comes
        first. Ties go to the rate nearest the centre of the grid. Rates with fewer
        results than the others on these seeds are not eligible: a mean over other
        seeds is no comparison.
        """
        results = {lr: sum((lr, s) in self.values for s in seeds) for lr in self.lrs}
        most = max(results.values(), default=0)
        if most == 0:
            return None
        eligible = (lr for lr in self.lrs if results[lr] == most)
        return min(eligible, key=lambda lr: self.preference(lr, seeds))

    def width(self, slack: float) -> float | None:
        """Decades of neighbouring rates whose mean is within `slack` of the best.

        A rate at which a run diverged is never within. None without a best rate.
        """
        means = [self.preference(lr, self.seeds)[:2] for lr in self.lrs]
        slack /= self.size
        finite = [mean for diverged, mean in means if not diverged]
        best = min(finite, default=math.inf)
        if not math.isfinite(best):
            return None
        near = [not diverged and mean <= best + slack for diverged, mean in means]
        first = last = means.index((0, best))
        while first > 0 and near[first - 1]:
            first -= 1
        while last + 1 < len(near) and near[last + 1]:
            last += 1
        return math.log10(self.lrs[last] / self.lrs[first])


def effect(difference: float | None, scale: str) -> float | None:
    """A difference on the scale as a relative change, or in the metric's unit.

    None where the relative change has no finite float: beyond a factor of 10**308.
    """
    if difference is None or scale != "log":
        return difference
    try:
        return math.expm1(difference)
    except OverflowError:
        return None


def shown_score(value: float | None, scale: str) -> float | None:
    """A value on the scale as a score in the task's metric."""
    return math.exp(value) if value is not None and scale == "log" else value
