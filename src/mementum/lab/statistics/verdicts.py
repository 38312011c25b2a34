"""Paired differences against a reference, and the verdicts they support.

A verdict is a claim about which of three regions holds the true difference d, given an
equivalence margin m: better (d < -m), equivalent (|d| < m) or worse (d > m). Scores
are losses, so negative is better. A claim is made when an interval for d lies wholly
inside one region; otherwise the verdict is inconclusive.

One p-value fits this exactly. The paired-t interval of level 1 - p reaches just to the
nearest margin when

    p = 2 P(T > ||mean| - m| / error),    T ~ Student(n - 1),    error = sd / sqrt(n)

so "p <= a" and "the interval of level 1 - a lies in one region" are one statement.
Holm's step-down procedure over the k contenders of a task compares the i-th smallest p
with a_i = alpha / (k - i + 1) and stops at the first that is larger. The verdict
interval of a contender is the paired-t interval of level 1 - a_i at its own step, and
at the step of the stop for all that come after. A claim is therefore made if and only
if Holm's adjusted p is at most alpha, if and only if the verdict interval lies in one
region: table, interval and p-value cannot contradict each other. What is controlled is
the chance of any wrong verdict within a task, for independent differences; rates that
are chosen among equals tie the seeds together, and `docs/lab/comparison.md` says by how
much. The verdict intervals of a task are not meant to cover all their true differences
at once.

Diverged runs have no finite difference. Pairs in which both diverged say nothing and
are left out. Pairs in which one diverged can confirm a claim or void it: a contender
that diverged where the reference did not can be found worse by its finite pairs, never
better or equivalent. Alone they decide only if they are all the pairs and at least
three: two equal contenders that diverge by chance do this with probability at most
2 * 4**-n, which is 3 % for n = 3.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special, stats
from scipy.optimize import brentq

from mementum.lab.statistics.choice import Choice
from mementum.lab.statistics.pairs import Interval, Pairs, pair
from mementum.lab.statistics.remarks import of_single_seed, remarks

ALPHA = 0.05
POWER = 0.8
DECISIVE_DIVERGENCES = 3


class Verdict(enum.StrEnum):
    """What the runs say about a contender against the reference on one task."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
    REFERENCE = "reference"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One contender against the reference on one task.

    All numbers are on the task's scale: differences of log(score), or of the score.
    `interval` is the plain 95 % paired-t interval; `verdict_interval` is the one that
    the verdict rests on. `p` and `p_holm` are None where no interval decides: too few
    finite pairs, an exact difference, or a divergence that stands against the claim.
    `detectable` is the smallest true difference that would be called better or worse
    with probability 0.8 at the observed spread.
    """

    contender: str
    verdict: Verdict
    exact: bool
    margin: float
    pairs: Pairs
    interval: Interval | None
    verdict_interval: Interval | None
    p: float | None
    p_holm: float | None
    detectable: float | None
    notes: tuple[str, ...]
    look: int = 0
    """The look that decided it, or the last one made; 0 where there are no looks."""

    @property
    def mean(self) -> float | None:
        """The mean difference; None without a finite pair."""
        return self.pairs.mean


def claim_p(mean: float, error: float, df: int, margin: float) -> float:
    """The smallest a for which the interval of level 1 - a lies in one region."""
    distance = abs(abs(mean) - margin)
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(2 * stats.t.sf(distance / error, df))


def _region(mean: float, margin: float) -> Verdict:
    """The region that a difference lies in: better, equivalent or worse."""
    if abs(mean) <= margin:
        return Verdict.EQUIVALENT
    return Verdict.BETTER if mean < 0 else Verdict.WORSE


def holm(ps: Sequence[float | None], alpha: float) -> list[tuple[float | None, float]]:
    """Holm's adjusted p and the level of the verdict interval, for each p.

    A contender without a p still counts in the family, as if its p were 1: the size of
    the family is fixed before the results are seen. Equal p-values share a step.
    """
    order = sorted(1.0 if p is None else p for p in ps)
    stop = next(
        (rank for rank, p in enumerate(order) if p > alpha / (len(order) - rank)),
        len(order) - 1,
    )
    adjusted: list[tuple[float | None, float]] = []
    for p in ps:
        rank = order.index(1.0 if p is None else p)
        climbed = max((len(order) - i) * order[i] for i in range(rank + 1))
        level = 1 - alpha / (len(order) - min(rank, stop))
        adjusted.append((None if p is None else min(1.0, climbed), level))
    return adjusted


@lru_cache(maxsize=256)
def detectable_errors(df: int, level: float) -> float:
    """Distance beyond the margin, in true standard errors, seen with probability 0.8.

    Solves E[Phi(x - c S)] = 0.8 for x: the power of the t test with critical value c,
    where S^2 df ~ chi^2(df) is the spread of the estimated standard error.
    """
    critical = float(stats.t.isf((1 - level) / 2, df))
    middles = (np.arange(4000) + 0.5) / 4000
    spread = np.sqrt(stats.chi2.ppf(middles, df) / df)

    def shortfall(distance: float) -> float:
        return float(special.ndtr(distance - critical * spread).mean()) - POWER

    # S exceeds 2 with probability below 5 % at every df, so the root is bracketed.
    return float(brentq(shortfall, 0.0, 2 * critical + 10))


def _opposed(pairs: Pairs, claim: Verdict) -> bool:
    """Whether divergences stand against a claim made from the finite pairs."""
    return (pairs.only_contender_diverged > 0 and claim is not Verdict.WORSE) or (
        pairs.only_reference_diverged > 0 and claim is not Verdict.BETTER
    )


def _decided_by_divergence(pairs: Pairs) -> Verdict | None:
    """The verdict where every informative pair has exactly one diverged run."""
    mine, other = pairs.only_contender_diverged, pairs.only_reference_diverged
    if pairs.differences or min(mine, other) > 0:
        return None
    if max(mine, other) < DECISIVE_DIVERGENCES:
        return None
    return Verdict.WORSE if mine else Verdict.BETTER


def _raw_p(pairs: Pairs, margin: float) -> float | None:
    """The p-value of the claim that the finite pairs point to, if they can make it."""
    mean, error = pairs.mean, pairs.error
    if mean is None or error is None or _opposed(pairs, _region(mean, margin)):
        return None
    return claim_p(mean, error, len(pairs.differences) - 1, margin)


def compare(
    choices: Sequence[Choice],
    reference: Choice,
    *,
    margin: float,
    deterministic: bool,
    alpha: float = ALPHA,
    barred: Collection[str] = (),
) -> tuple[Contrast, ...]:
    """Contrast each choice with the reference, as one family of comparisons.

    `choices` leaves the reference out. `margin` is on the task's scale. On a
    deterministic task a difference is exact and the margin alone decides. Who is
    `barred` counts in the family and has no p.
    """
    pairs = [pair(choice, reference) for choice in choices]
    if deterministic:
        return tuple(
            _exact(choice, reference, both, margin)
            for choice, both in zip(choices, pairs, strict=True)
        )
    ps = [
        None if choice.contender in barred else _raw_p(both, margin)
        for choice, both in zip(choices, pairs, strict=True)
    ]
    return tuple(
        _uncertain(choice, reference, both, (p, *adjusted), margin, alpha)
        for choice, both, p, adjusted in zip(
            choices, pairs, ps, holm(ps, alpha), strict=True
        )
    )


def _uncertain(
    choice: Choice,
    reference: Choice,
    pairs: Pairs,
    found: tuple[float | None, float | None, float],
    margin: float,
    alpha: float,
) -> Contrast:
    """The contrast on a task with chance in it, from p, Holm's p and its level."""
    p, p_holm, level = found
    return Contrast(
        contender=choice.contender,
        verdict=_judge(choice, reference, pairs, p_holm, margin, alpha),
        exact=False,
        margin=margin,
        pairs=pairs,
        interval=pairs.interval(1 - alpha),
        verdict_interval=pairs.interval(level),
        p=p,
        p_holm=p_holm,
        detectable=_detectable(pairs, margin, level),
        notes=remarks(choice, reference) + of_single_seed(choice),
    )


def _judge(
    choice: Choice,
    reference: Choice,
    pairs: Pairs,
    p_holm: float | None,
    margin: float,
    alpha: float,
) -> Verdict:
    """The verdict of one comparison, from its adjusted p or from its divergences."""
    if not choice.usable:
        return Verdict.FAILED
    if not reference.usable:
        return Verdict.INCONCLUSIVE
    if p_holm is not None and p_holm <= alpha and pairs.mean is not None:
        return _region(pairs.mean, margin)
    return _decided_by_divergence(pairs) or Verdict.INCONCLUSIVE


def _exact(choice: Choice, reference: Choice, pairs: Pairs, margin: float) -> Contrast:
    """The contrast on a deterministic task: one difference, and no uncertainty."""
    if not choice.usable:
        verdict = Verdict.FAILED
    elif pairs.mean is not None:
        verdict = _region(pairs.mean, margin)
    elif pairs.only_contender_diverged or pairs.only_reference_diverged:
        diverged = pairs.only_contender_diverged
        verdict = Verdict.WORSE if diverged else Verdict.BETTER
    else:
        verdict = Verdict.INCONCLUSIVE
    return Contrast(
        contender=choice.contender,
        verdict=verdict,
        exact=True,
        margin=margin,
        pairs=pairs,
        interval=None,
        verdict_interval=None,
        p=None,
        p_holm=None,
        detectable=None,
        notes=remarks(choice, reference),
    )


def _detectable(pairs: Pairs, margin: float, level: float) -> float | None:
    """The smallest true difference called better or worse with probability 0.8."""
    if pairs.error is None:
        return None
    df = len(pairs.differences) - 1
    return margin + detectable_errors(df, level) * pairs.error
