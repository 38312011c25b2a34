"""Steps to a target, where runs that miss it are censored and not forgotten.

The time of a run is the first point of its evaluation grid at which the metric is at
or below the target; the grid is equal for all contenders of a task. A run that ends
above the target is censored at the budget: it would have taken longer, or for ever.
The same holds for a run that diverged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mementum.lab.records.run import Curve
from mementum.lab.statistics.pairs import Interval, Pairs


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How fast one contender came to the target of a task.

    `times` holds a step for every scored run, None where it missed the target, and
    `seeds` the seeds of these runs.
    """

    budget: int
    seeds: tuple[int, ...]
    times: tuple[int | None, ...]

    @property
    def reached(self) -> int:
        """How many runs reached the target."""
        return sum(time is not None for time in self.times)

    @property
    def restricted(self) -> tuple[float, ...]:
        """The times, with the budget in the place of every miss."""
        return tuple(float(self.budget if t is None else t) for t in self.times)

    @property
    def mean(self) -> float | None:
        """The restricted mean: the area under the survival curve up to the budget."""
        found = self.restricted
        return math.fsum(found) / len(found) if found else None

    @property
    def median(self) -> float | None:
        """The median time; None where fewer than half of the runs have reached it."""
        times = sorted(math.inf if t is None else float(t) for t in self.times)
        if not times:
            return None
        middle = times[(len(times) - 1) // 2]
        return middle if math.isfinite(middle) else None

    def curve(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The Kaplan-Meier estimate, as steps and the share that has reached by then.

        All censoring is at the budget, so the estimate is one minus the share of runs
        still on their way.
        """
        steps = sorted({0, self.budget, *(t for t in self.times if t is not None)})
        total = len(self.times) or 1
        return tuple(steps), tuple(
            sum(t is not None and t <= step for t in self.times) / total
            for step in steps
        )


def first_crossing(curve: Curve, target: float) -> int | None:
    """The first evaluated step at which the metric is at or below the target."""
    for step, value in zip(curve.steps, curve.validation, strict=True):
        if value <= target:
            return step
    return None


def difference(mine: Reach, other: Reach, alpha: float) -> Interval | None:
    """The paired-t interval of the difference of restricted times, seed by seed."""
    others = dict(zip(other.seeds, other.restricted, strict=True))
    own = dict(zip(mine.seeds, mine.restricted, strict=True))
    pairs = Pairs(
        differences=tuple((s, t - others[s]) for s, t in own.items() if s in others),
        only_contender_diverged=0,
        only_reference_diverged=0,
        both_diverged=0,
        missing=0,
    )
    return pairs.interval(1 - alpha)


def median_of(reaches: Sequence[Reach | None]) -> list[float]:
    """Median times, infinite where there is none."""
    return [
        math.inf if each is None or each.median is None else each.median
        for each in reaches
    ]
