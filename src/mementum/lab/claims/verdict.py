"""What the runs say about a claim.

A check names a region of differences. It holds if the interval of the difference lies
inside the region, fails if it lies outside, and is open otherwise. A claim of k checks
uses intervals of level 1 - 0.05 / k, so that all of them cover at once with probability
0.95 or more. A claim is reproduced if all its checks hold, not reproduced if one fails,
and inconclusive otherwise.

The interval is the paired t interval over seeds. The share of several hundred trials
has Clopper and Pearson's interval over all trials. On a deterministic problem there is
nothing to estimate, and the difference is exact.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scipy import stats

from mementum.lab.claims.claim import Check, Claim
from mementum.lab.claims.plan import by_identity
from mementum.lab.claims.settled import Tier, settle
from mementum.lab.claims.values import Reading, read
from mementum.lab.records.run import RunRecord
from mementum.lab.records.scale import on_scale
from mementum.lab.statistics import Interval, Pairs
from mementum.lab.statistics.grid import scale_margin
from mementum.lab.statistics.verdicts import detectable_errors

ALPHA = 0.05


class Answer(enum.StrEnum):
    """What became of a check."""

    HOLDS = "holds"
    FAILS = "fails"
    OPEN = "open"
    MISSING = "not run"


class Outcome(enum.StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"
    UNTESTABLE = "not testable at this scale"
    MISSING = "not run"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A check with its difference and interval, both on the check's scale."""

    check: Check
    answer: Answer
    difference: float | None
    interval: Interval | None
    region: tuple[float, float]
    exact: bool
    seeds: int
    diverged: int
    """Seeds on which one side alone diverged; any leaves the check open."""
    detectable: float | None
    """The true distance from the region's edge that is seen with probability 0.8."""
    arm: Reading
    against: Reading | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A claim with what was found."""

    claim: Claim
    outcome: Outcome
    findings: tuple[Finding, ...]


def judge(
    claims: Sequence[Claim], tier: Tier, records: Sequence[RunRecord]
) -> list[Verdict]:
    """Return the verdict on every claim."""
    found = by_identity(records)
    return [_verdict(claim, tier, found) for claim in claims]


def _verdict(claim: Claim, tier: Tier, found: Mapping[str, RunRecord]) -> Verdict:
    """Return the verdict on a claim."""
    findings = tuple(_finding(claim, each, tier, found) for each in claim.checks)
    return Verdict(
        claim=claim,
        outcome=Outcome.UNTESTABLE if claim.untestable else _outcome(findings),
        findings=findings,
    )


def _outcome(findings: Sequence[Finding]) -> Outcome:
    """Return what the checks together say."""
    answers = {each.answer for each in findings}
    if Answer.MISSING in answers:
        return Outcome.MISSING
    if Answer.FAILS in answers:
        return Outcome.NOT_REPRODUCED
    return Outcome.INCONCLUSIVE if Answer.OPEN in answers else Outcome.REPRODUCED


def _finding(
    claim: Claim, check: Check, tier: Tier, found: Mapping[str, RunRecord]
) -> Finding:
    """Return what the runs say about a check."""
    settled = settle(check, claim.arms[check.arm], tier)
    arm = read(check, settled, found)
    against = None
    if check.against is not None:
        other = settle(check, claim.arms[check.against], tier)
        against = read(check, other, found)
    pairs = _paired(arm, _opponent(check, arm, against))
    level = 1 - ALPHA / len(claim.checks)
    exact = settled.setting.task.deterministic
    interval = _between(check, arm, pairs, level, exact=exact)
    region = check.relation.region(scale_margin(check.margin, check.scale))
    diverged = pairs.only_contender_diverged + pairs.only_reference_diverged
    missing = len(settled.seeds) - len(arm.values)
    if against is not None:
        missing = max(missing, len(settled.seeds) - len(against.values))
    bare = Finding(
        check=check,
        answer=Answer.MISSING if missing else Answer.OPEN,
        difference=pairs.mean,
        interval=interval,
        region=region,
        exact=exact,
        seeds=len(pairs.differences),
        diverged=diverged,
        detectable=_detectable(pairs, level),
        arm=arm,
        against=against,
    )
    if missing or diverged or interval is None:
        return bare
    return replace(bare, answer=_answer(interval, region))


def _opponent(
    check: Check, arm: Reading, against: Reading | None
) -> Mapping[int, float]:
    """Return what stands against the arm's values, seed by seed."""
    if against is not None:
        return against.values
    assert check.level is not None
    return dict.fromkeys(arm.values, on_scale(check.level, check.scale))


def _paired(arm: Reading, values: Mapping[int, float]) -> Pairs:
    """Return the differences, seed by seed."""
    seeds = sorted(arm.values.keys() & values.keys())
    ends = [(math.isfinite(arm.values[s]), math.isfinite(values[s])) for s in seeds]
    return Pairs(
        differences=tuple(
            (seed, arm.values[seed] - values[seed])
            for seed, both in zip(seeds, ends, strict=True)
            if all(both)
        ),
        only_contender_diverged=ends.count((False, True)),
        only_reference_diverged=ends.count((True, False)),
        both_diverged=ends.count((False, False)),
        missing=len(arm.values) - len(seeds),
    )


def _between(
    check: Check, arm: Reading, pairs: Pairs, level: float, *, exact: bool
) -> Interval | None:
    """Return the interval of the difference; None with too few finite pairs."""
    if exact:
        mean = pairs.mean
        return None if mean is None else Interval(low=mean, high=mean, level=1.0)
    if check.count is None or check.level is None:
        return pairs.interval(level)
    finite = [value for value in arm.values.values() if math.isfinite(value)]
    if not finite:
        return None
    trials = check.count * len(finite)
    share = stats.binomtest(round(check.count * math.fsum(finite)), trials)
    low, high = share.proportion_ci(level, method="exact")
    return Interval(low=low - check.level, high=high - check.level, level=level)


def _answer(interval: Interval, region: tuple[float, float]) -> Answer:
    """Return where the interval lies."""
    low, high = region
    if low < interval.low and interval.high < high:
        return Answer.HOLDS
    if interval.high <= low or high <= interval.low:
        return Answer.FAILS
    return Answer.OPEN


def _detectable(pairs: Pairs, level: float) -> float | None:
    """Return the distance from an edge that would be seen with probability 0.8."""
    if pairs.error is None:
        return None
    return pairs.error * detectable_errors(len(pairs.differences) - 1, level)
