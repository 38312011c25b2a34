"""The figures of the ledger: intervals against their regions, rates and curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from mementum.lab.claims.ledger import words
from mementum.lab.claims.settled import Tier, settle
from mementum.lab.claims.values import Reading, runs
from mementum.lab.claims.verdict import Answer, Finding, Verdict
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.report.figures import axes
from mementum.lab.report.figures.bands import Band, Quantity, band
from mementum.lab.report.figures.figure import Figure, Series, along_rates, dot
from mementum.lab.report.figures.palette import BETTER, MUTED, WORSE, Look, looks
from mementum.lab.report.figures.task_figures import curves

_LOOKS = {
    Answer.HOLDS: Look(BETTER, (), "o"),
    Answer.FAILS: Look(WORSE, (), "s"),
}
_OPEN = Look(MUTED, (), "o")


class ClaimFigures(NamedTuple):
    """The figures of a claim."""

    checks: Mapping[int, Figure]
    """The interval of each check that has one, by the check's number from 1."""
    others: tuple[Figure, ...]
    """Curves, or values at every learning rate."""

    def all(self) -> list[Figure]:
        """Every figure once."""
        return [*self.checks.values(), *self.others]


def interval(name: str, finding: Finding) -> Figure | None:
    """An interval over the region it is wanted in; None where there is none."""
    if finding.interval is None or finding.difference is None:
        return None
    ends = [finding.interval.low, finding.interval.high, finding.difference, 0.0]
    edges = [edge for edge in finding.region if math.isfinite(edge)]
    low, high = min(ends + edges), max(ends + edges)
    title = f"{finding.check.says} ({words.sides(finding)})"
    logged = finding.check.scale == "log" and high < _FAR
    level = finding.check.level
    about = "difference" if level is None else f"difference from {level:g}"
    x = (axes.relative if logged else axes.linear)(about + ", %" * logged, low, high)
    return Figure(
        name=name,
        title=title,
        description=f"{title}: {words.describe(finding)}.",
        x=x,
        y=axes.rows([finding.answer.value]),
        height=90,
        series=(
            dot(
                finding.check.arm,
                0,
                _LOOKS.get(finding.answer, _OPEN),
                finding.difference,
                {3.0: finding.interval},
                words.describe(finding),
                filled=finding.answer in _LOOKS,
            ),
        ),
        subject=finding.check.task,
        band=(max(finding.region[0], x.low), min(finding.region[1], x.high)),
    )


_FAR = math.log(1e6)
"""Beyond this a difference of logarithms has no percentage that can be read."""


def claim_looks(verdict: Verdict) -> dict[str, Look]:
    """A look for every arm of the claim; the first that others stand against leads."""
    arms = list(verdict.claim.arms)
    against = [each.check.against for each in verdict.findings if each.check.against]
    return looks(arms, (against or arms)[0]) if arms else {}


def said(verdict: Verdict, tier: Tier, found: Mapping[str, RunRecord]) -> ClaimFigures:
    """The figures of a claim: its intervals, and one for each quantity that is read."""
    name = verdict.claim.name
    figures: dict[tuple[str, str], Figure | None] = {}
    style = claim_looks(verdict)
    for finding in verdict.findings:
        key = finding.check.task, finding.check.value
        if key in figures:
            continue
        own = f"{name}-{len(figures)}"
        if finding.check.value == "rise" or len(finding.arm.by_rate) > 1:
            figures[key] = _by_rate(own, verdict, finding, style)
        else:
            bands = _arms_bands(verdict, finding, tier, found)
            about = words.value(finding)
            whole = finding.check.scale == "linear"
            task = finding.check.task
            figures[key] = curves(own, task, about, bands, style, whole=whole)
    checks = {
        number: interval(f"check-{name}-{number}", finding)
        for number, finding in enumerate(verdict.findings, start=1)
    }
    return ClaimFigures(
        {number: each for number, each in checks.items() if each is not None},
        tuple(each for each in figures.values() if each is not None),
    )


def _arms_bands(
    verdict: Verdict, finding: Finding, tier: Tier, found: Mapping[str, RunRecord]
) -> list[Band]:
    """The curves of all arms that checks have on this finding's task."""
    check = finding.check
    same = [each.check for each in verdict.findings if each.check.task == check.task]
    names = dict.fromkeys(n for c in same for n in (c.arm, c.against) if n)
    quantity: Quantity = "train" if check.value == "train" else "validation"
    bands = []
    for name in names:
        settled = settle(check, verdict.claim.arms[name], tier)
        specs = runs(check, settled, found)
        ended = [found[spec.run_id] for spec in specs if spec.run_id in found]
        finished = [run for run in ended if run.status is Status.FINISHED]
        if finished:
            bands.append(band(name, finished, quantity))
    return bands


def _by_rate(
    name: str, verdict: Verdict, finding: Finding, style: Mapping[str, Look]
) -> Figure | None:
    """The value at every learning rate, with its range over seeds."""
    check = finding.check
    sides: dict[str, Reading] = {}
    for each in verdict.findings:
        if (each.check.task, each.check.value) == (check.task, check.value):
            sides[each.check.arm] = each.arm
            if each.check.against is not None and each.against is not None:
                sides[each.check.against] = each.against
    logged = check.scale == "log"
    values = [v for r in sides.values() for vs in r.by_rate.values() for v in vs]
    seen = axes.extent(math.exp(v) if logged else v for v in values)
    if seen is None:
        return None
    rates = [rate for reading in sides.values() for rate in reading.by_rate]
    means = ", ".join(f"{arm} {_mean_words(r, logged)}" for arm, r in sides.items())
    return Figure(
        name=name,
        title=f"{words.value(finding)}, against learning rate",
        description=f"{check.task}: {words.value(finding)}. Means: {means}.",
        x=axes.logarithmic("learning rate", min(rates), max(rates)),
        y=axes.of_scale("log" if logged else "linear", *seen),
        height=270,
        series=tuple(
            _at_rates(arm, reading, style[arm], logged)
            for arm, reading in sides.items()
        ),
        subject=check.task,
    )


def _mean_words(reading: Reading, logged: bool) -> str:
    """The mean of a reading in the unit of the quantity."""
    if reading.mean is None:
        return "none"
    return f"{math.exp(reading.mean) if logged else reading.mean:.3g}"


def _at_rates(arm: str, reading: Reading, look: Look, logged: bool) -> Series:
    """One arm: means as a line, lowest and highest seeds as bars."""
    found = {}
    for lr, values in reading.by_rate.items():
        if values:
            mean = math.fsum(values) / len(values)
            three = (mean, min(values), max(values))
            mean, low, high = map(math.exp, three) if logged else three
            found[lr] = mean, low, high
    return along_rates(arm, look, found)
