"""The learning rate a contender is judged at, chosen without the judged seed.

Choosing a learning rate and reporting its score on the same seeds is optimistic: the
minimum of noisy means is lower than the mean of any of them. Here the rate for seed s
is the one with the lowest mean score over the *other* seeds, and seed s is then scored
at that rate (cross-fitting). Every run serves both ends, and none serves both at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

FLOOR = float(np.finfo(np.float64).eps)
"""The smallest score the log scale tells from zero: float64's resolution at 1."""


DIGITS = 12
"""To how many decimals means count that choose, as shares of the largest value."""


def on_scale(score: float, scale: str) -> float:
    """The number whose differences are compared: log(score), or the score itself.

    A score below `FLOOR` counts as `FLOOR` on the logarithmic scale, so that an excess
    loss which rounding has made zero or slightly negative stays comparable.
    """
    return math.log(max(score, FLOOR)) if scale == "log" else score


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


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One seed, scored at the learning rate that the other seeds chose.

    `value` is on the task's scale, `inf` where the run diverged, None without a result.
    """

    seed: int
    lr: float | None
    value: float | None

    @property
    def diverged(self) -> bool:
        """Whether the scored run diverged."""
        return self.value == math.inf


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The learning rates chosen for one contender on one task, and what they scored.

    `in_sample` says that the rate was chosen on the seed it is scored on, which happens
    only where there is no other seed. It does no harm on a deterministic task.
    """

    contender: str
    grid: Grid
    scored: tuple[Scored, ...]
    in_sample: bool
    gridded: bool = True
    """Whether the rates are neighbours on a grid, which has ends."""

    @property
    def lrs(self) -> tuple[float, ...]:
        """The distinct rates chosen, ascending."""
        return tuple(sorted({s.lr for s in self.scored if s.lr is not None}))

    @property
    def edge(self) -> bool:
        """Whether a chosen rate is an end of the grid: the best may lie outside."""
        return any(self.edges)

    @property
    def edges(self) -> tuple[bool, bool]:
        """Whether the lowest and the highest rate of the grid are among the chosen."""
        if not self.gridded or len(self.grid.lrs) < 2:
            return (False, False)
        return (self.grid.lrs[0] in self.lrs, self.grid.lrs[-1] in self.lrs)

    @property
    def usable(self) -> bool:
        """Whether any seed has a result, a divergence included."""
        return any(scored.value is not None for scored in self.scored)

    @property
    def diverged(self) -> int:
        """How many of the scored runs diverged."""
        return sum(scored.diverged for scored in self.scored)

    @property
    def mean(self) -> float | None:
        """Mean of the finite scores on the task's scale; None if there is none."""
        values = [
            s.value for s in self.scored if s.value is not None and not s.diverged
        ]
        return math.fsum(values) / len(values) if values else None


def choose(contender: str, grid: Grid, *, gridded: bool = True) -> Choice:
    """Score every seed at the learning rate chosen on the other seeds.

    With a single seed there is no other, and the rate is chosen on the seed itself.
    """
    alone = len(grid.seeds) == 1

    def score(seed: int) -> Scored:
        lr = grid.best([s for s in grid.seeds if alone or s != seed])
        value = None if lr is None else grid.values.get((lr, seed))
        return Scored(seed=seed, lr=lr, value=value)

    scored = tuple(score(seed) for seed in grid.seeds)
    return Choice(
        contender=contender,
        grid=grid,
        scored=scored,
        in_sample=alone,
        gridded=gridded,
    )
