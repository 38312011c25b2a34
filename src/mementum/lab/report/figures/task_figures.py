"""The figures of a task: curves, scores against learning rate, effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mementum.lab.report import number_words
from mementum.lab.report.figures import axes
from mementum.lab.report.figures.bands import Band
from mementum.lab.report.figures.figure import Figure, Series, along_rates, dot
from mementum.lab.report.figures.palette import BETTER, INK, MUTED, WORSE, Look
from mementum.lab.statistics import Contrast, Result, Sensitivity, TaskResult, Verdict

Looks = Mapping[str, Look]
_MARKS = {
    Verdict.BETTER: Look(BETTER, (), "o"),
    Verdict.WORSE: Look(WORSE, (), "s"),
    Verdict.EQUIVALENT: Look(INK, (), "D"),
}
_OPEN = Look(MUTED, (), "o")


def curves(
    name: str,
    task: str,
    quantity: str,
    bands: Sequence[Band],
    looks: Looks,
    *,
    whole: bool = False,
) -> Figure | None:
    """Median learning curves with their range over seeds; None without a curve.

    Unless the whole is to be seen, a curve that shoots up leaves the panel rather than
    flattening all others.
    """
    seen = axes.extent(value for each in bands for value in each.low + each.high)
    if seen is None:
        return None
    low, high = seen
    start = max(end for each in bands for end in (each.median[0], each.median[-1]))
    if not whole:
        high = max(min(high, start + (start - low) / 2), low)
    logged = low > 0 and high > 2 * low
    ends = [f"{b.contender} {number_words.score_words(b.median[-1])}" for b in bands]
    return Figure(
        name=name,
        title=f"{quantity}, against steps",
        description=f"{task}: {quantity} against steps. Last medians: "
        f"{', '.join(ends)}.",
        x=axes.steps_axis(max(each.steps[-1] for each in bands)),
        y=axes.of_scale("log" if logged else "linear", low, high),
        height=270,
        series=tuple(
            Series(
                name=each.contender,
                look=looks[each.contender],
                xs=each.steps,
                ys=each.median,
                low=each.low if each.seeds > 1 else (),
                high=each.high if each.seeds > 1 else (),
                words=f"{end} after {each.steps[-1]:,} steps",
                labelled=True,
            )
            for each, end in zip(bands, ends, strict=True)
        ),
        subject=task,
    )


def sensitivity(
    name: str, task: TaskResult, results: Sequence[Result], looks: Looks
) -> Figure | None:
    """Score against learning rate; None where every run diverged or is missing.

    Diverged rates have no score: they are marked along the upper edge.
    """
    points = [p for result in results for p in result.sensitivity]
    means = [p.mean for p in points if p.mean is not None]
    seen = axes.extent(x for p in points for x in (p.low, p.high) if x is not None)
    if seen is None:
        return None
    low, high = seen
    logged = task.scale == "log" and low > 0
    high = min(high, 1e4 * min(means)) if logged else high
    lrs = [p.lr for p in points]
    best = ", ".join(
        f"{r.contender} at {number_words.rate_words(r, ' to ')}" for r in results
    )
    return Figure(
        name=name,
        title=f"{task.metric}, against learning rate",
        description=f"{task.name}: score against learning rate. Chosen: {best}.",
        x=axes.logarithmic("learning rate", min(lrs), max(lrs)),
        y=axes.of_scale("log" if logged else "linear", low, high),
        height=290,
        series=tuple(_at_rates(result, looks[result.contender]) for result in results),
        subject=task.name,
    )


def _at_rates(result: Result, look: Look) -> Series:
    """Means with ranges, chosen rates filled, and a cross where runs diverged."""
    points = {
        p.lr: (p.mean, p.low or 0.0, p.high or 0.0)
        for p in result.sensitivity
        if p.mean is not None
    }
    crosses = [(p.lr, _diverged_words(p)) for p in result.sensitivity if p.diverged]
    return along_rates(result.contender, look, points, result.choice.lrs, crosses)


def _diverged_words(point: Sensitivity) -> str:
    """What a cross says."""
    many = f"{point.diverged} of {point.diverged + point.finite}"
    return f"lr {number_words.rate(point.lr)}: {many} diverged"


def forest(name: str, task: TaskResult) -> Figure | None:
    """Effects against the reference with both intervals; None without any effect."""
    shown = [
        (result, contrast)
        for result in reversed(task.results)
        if (contrast := result.contrast) is not None and contrast.mean is not None
    ]
    if not shown:
        return None
    margin = task.margin_on_scale
    # The wider verdict interval may run off the panel; means and 95 % intervals do not.
    held = [bound for _, c in shown for bound in (c.mean or 0.0, *_plain_bounds(c))]
    low, high = min([-2 * margin, *held]), max([2 * margin, *held])
    unit = "effect, %" if task.scale == "log" else "effect"
    title = f"better \N{LEFTWARDS ARROW} {unit} \N{RIGHTWARDS ARROW} worse"
    effects = "; ".join(
        f"{r.contender} {r.verdict}, {number_words.effect_words(c, task)}"
        for r, c in reversed(shown)
    )
    return Figure(
        name=name,
        title="effect, with its intervals",
        description=f"{task.name}: effects on {task.metric}. {effects}.",
        x=(axes.relative if task.scale == "log" else axes.linear)(title, low, high),
        y=axes.rows([r.contender for r, _ in shown]),
        height=70 + 22 * len(shown),
        series=tuple(_effect(row, r, c, task) for row, (r, c) in enumerate(shown)),
        subject=task.name,
        band=(-margin, margin),
    )


def _plain_bounds(contrast: Contrast) -> tuple[float, ...]:
    """The ends of the 95 % interval, if there is one."""
    interval = contrast.interval
    return () if interval is None else (interval.low, interval.high)


def _effect(row: int, result: Result, contrast: Contrast, task: TaskResult) -> Series:
    """A thin verdict interval, a thick 95 % interval and the mean."""
    return dot(
        result.contender,
        row,
        _MARKS.get(result.verdict, _OPEN),
        contrast.mean or 0.0,
        {1.0: contrast.verdict_interval, 3.0: contrast.interval},
        f"{result.verdict}, {number_words.effect_words(contrast, task)}",
        filled=result.verdict in _MARKS,
    )
