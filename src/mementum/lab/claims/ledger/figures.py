"""The pictures of the ledger: intervals against their regions, rates and curves."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from mementum.lab.claims.ledger import words
from mementum.lab.claims.settled import Tier, settle
from mementum.lab.claims.values import Reading, runs
from mementum.lab.claims.verdict import Answer, Finding, Verdict
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.report.figures import axes
from mementum.lab.report.figures.bands import Band, Quantity, band
from mementum.lab.report.figures.palette import BETTER, MUTED, WORSE, Look, looks
from mementum.lab.report.figures.task_figures import Figure, Trace, curves, layout

_WIDTH, _HEIGHT = 220.0, 30.0
_DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" class="interval" role="img" '
    'width="{width:g}" height="{height:g}" '
    'viewBox="0 0 {width:g} {height:g}" aria-label="{label}">'
    '<rect x="{left}" y="3" width="{wide}" height="24" fill="{region}" '
    'fill-opacity="0.12"/>'
    '<line x1="{zero}" x2="{zero}" y1="0" y2="30" stroke="{rule}"/>'
    '<line x1="{first}" x2="{last}" y1="15" y2="15" stroke="{colour}" '
    'stroke-width="4"/>'
    '<circle cx="{mean}" cy="15" r="5" fill="{colour}"/></svg>'
)
ClaimFigures = Mapping[str, tuple[Figure, ...]]
"""The figures of every claim, by its name."""
_COLOURS = {Answer.HOLDS: BETTER, Answer.FAILS: WORSE}


def interval(finding: Finding) -> Markup:
    """An interval over the region it is wanted in, as a small drawing."""
    if finding.interval is None or finding.difference is None:
        return Markup("")
    ends = [finding.interval.low, finding.interval.high, finding.difference, 0.0]
    edges = [edge for edge in finding.region if math.isfinite(edge)]
    low, high = min(ends + edges), max(ends + edges)
    room = 0.12 * (high - low) or 1.0
    low, high = low - room, high + room

    def place(x: float) -> float:
        return round(_WIDTH * (min(max(x, low), high) - low) / (high - low), 1)

    left, right = map(place, finding.region)
    first, last = place(finding.interval.low), place(finding.interval.high)
    colour = _COLOURS.get(finding.answer, MUTED)
    text = _DRAWING.format(
        width=_WIDTH,
        height=_HEIGHT,
        label=html.escape(words.describe(finding)),
        left=left,
        wide=round(right - left, 1),
        zero=place(0),
        first=first,
        last=last,
        mean=place(finding.difference),
        region=BETTER,
        rule=MUTED,
        colour=colour,
    )
    return Markup(text)  # noqa: S704, numbers and one escaped label


def claim_looks(verdict: Verdict) -> dict[str, Look]:
    """A look for every arm of the claim; the first that others stand against leads."""
    arms = list(verdict.claim.arms)
    against = [each.check.against for each in verdict.findings if each.check.against]
    return looks(arms, (against or arms)[0]) if arms else {}


def drawn(
    verdict: Verdict, tier: Tier, found: Mapping[str, RunRecord]
) -> tuple[Figure, ...]:
    """The figures of a claim: one for each quantity that its checks read."""
    figures: dict[tuple[str, str], Figure | None] = {}
    style = claim_looks(verdict)
    for finding in verdict.findings:
        key = finding.check.task, finding.check.value
        if key in figures:
            continue
        name = f"{verdict.claim.name}-{len(figures)}"
        if finding.check.value == "rise" or len(finding.arm.by_rate) > 1:
            figures[key] = _by_rate(name, verdict, finding, style)
        else:
            bands = _arms_bands(verdict, finding, tier, found)
            about = words.value(finding)
            whole = finding.check.scale == "linear"
            task = finding.check.task
            figures[key] = curves(name, task, about, bands, style, whole=whole)
    return tuple(figure for figure in figures.values() if figure is not None)


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
    y = (axes.logarithmic if logged else axes.linear)("", *seen)
    x = axes.logarithmic("learning rate", min(rates), max(rates))
    means = ", ".join(f"{arm} {_mean_words(r, logged)}" for arm, r in sides.items())
    return Figure(
        name=name,
        title=f"{words.value(finding)}, against learning rate",
        description=f"{check.task}: {words.value(finding)}. Means: {means}.",
        data=[_rate_trace(arm, r, style[arm], logged) for arm, r in sides.items()],
        layout=layout(x, y, 300),
    )


def _mean_words(reading: Reading, logged: bool) -> str:
    """The mean of a reading in the unit of the quantity."""
    if reading.mean is None:
        return "none"
    return f"{math.exp(reading.mean) if logged else reading.mean:.3g}"


def _rate_trace(arm: str, reading: Reading, look: Look, logged: bool) -> Trace:
    """One arm: means as a line, lowest and highest seeds as whiskers."""
    points: list[tuple[float, float, float, float]] = []
    for rate, values in reading.by_rate.items():
        if values:
            mean = math.fsum(values) / len(values)
            three: Sequence[float] = (mean, min(values), max(values))
            mean, low, high = map(math.exp, three) if logged else three
            points.append((rate, mean, max(0.0, mean - low), max(0.0, high - mean)))
    return {
        "type": "scatter",
        "meta": arm,
        "name": html.escape(arm),
        "mode": "lines+markers",
        "x": [point[0] for point in points],
        "y": [point[1] for point in points],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "arrayminus": [point[2] for point in points],
            "array": [point[3] for point in points],
            "color": look.colour,
            "thickness": 1,
            "width": 0,
        },
        "line": {"color": look.colour, "dash": look.dash, "width": 1.5},
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 8},
        "hovertemplate": "%{fullData.name}<br>lr %{x:.3g}: %{y:.4g}<extra></extra>",
    }
