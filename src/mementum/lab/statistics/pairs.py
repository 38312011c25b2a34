"""Differences between two contenders, seed by seed, with their t interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from mementum.lab.statistics.choice import Choice


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval on the task's scale, with its level (0.95 for 95 %)."""

    low: float
    high: float
    level: float


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Differences contender - reference, seed by seed, on the task's scale.

    `differences` holds the seeds on which both are finite; the other fields count the
    seeds on which one or both diverged, or a result is missing.
    """

    differences: tuple[tuple[int, float], ...]
    only_contender_diverged: int
    only_reference_diverged: int
    both_diverged: int
    missing: int

    @property
    def mean(self) -> float | None:
        """The mean difference; None without a finite pair."""
        values = [difference for _, difference in self.differences]
        return math.fsum(values) / len(values) if values else None

    @property
    def error(self) -> float | None:
        """The standard error of the mean; None with fewer than two finite pairs.

        Two equal differences have none either: coarse scores, such as error rates, give
        them by chance, and a spread of zero would make a certainty of it.
        """
        mean, count = self.mean, len(self.differences)
        if mean is None or count < 2:
            return None
        first, second, *others = (difference for _, difference in self.differences)
        if not others and math.isclose(first, second):
            return None
        # fsum: the error must not depend on the order or on the sign of the pairs.
        squares = math.fsum((d - mean) ** 2 for _, d in self.differences)
        return math.sqrt(squares / (count - 1) / count)

    @property
    def improvement(self) -> float | None:
        """The share of seeds on which the contender is better; a tie counts half."""
        signs = [(d < 0) + 0.5 * (d == 0) for _, d in self.differences]
        signs += [0.0] * self.only_contender_diverged
        signs += [1.0] * self.only_reference_diverged
        return math.fsum(signs) / len(signs) if signs else None

    @property
    def wilcoxon(self) -> float | None:
        """The p-value of the signed-rank test, which knows ranks alone: a check."""
        values = [difference for _, difference in self.differences]
        if len(values) < 2 or not any(values):
            return None
        return float(stats.wilcoxon(values).pvalue)

    def interval(self, level: float) -> Interval | None:
        """The paired-t interval of this level; None with fewer than two pairs."""
        mean, error = self.mean, self.error
        if mean is None or error is None:
            return None
        reach = error * float(stats.t.isf((1 - level) / 2, len(self.differences) - 1))
        return Interval(low=mean - reach, high=mean + reach, level=level)


def pair(contender: Choice, reference: Choice) -> Pairs:
    """Pair two choices seed by seed."""
    others = {scored.seed: scored.value for scored in reference.scored}
    found = [
        (scored.seed, scored.value, other)
        for scored in sorted(contender.scored, key=lambda scored: scored.seed)
        if scored.value is not None and (other := others.get(scored.seed)) is not None
    ]
    finite = [(math.isfinite(mine), math.isfinite(other)) for _, mine, other in found]
    return Pairs(
        differences=tuple(
            (seed, mine - other)
            for (seed, mine, other), both in zip(found, finite, strict=True)
            if all(both)
        ),
        only_contender_diverged=finite.count((False, True)),
        only_reference_diverged=finite.count((True, False)),
        both_diverged=finite.count((False, False)),
        missing=len(contender.scored) - len(found),
    )
