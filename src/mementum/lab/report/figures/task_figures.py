"""The figures of the page, as plain dictionaries that Plotly draws."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mementum.lab.report import number_words
from mementum.lab.report.figures import axes
from mementum.lab.report.figures.bands import Band
from mementum.lab.report.figures.palette import BETTER, INK, MUTED, WORSE, Look
from mementum.lab.statistics import Contrast, Result, Sensitivity, TaskResult, Verdict

Looks = Mapping[str, Look]
Trace = dict[str, Any]
_MARKS = {
    Verdict.BETTER: (BETTER, "circle"),
    Verdict.WORSE: (WORSE, "square"),
    Verdict.EQUIVALENT: (INK, "diamond"),
}
_OPEN = (MUTED, "circle-open")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with the words that stand for it where it cannot be seen."""

    name: str
    title: str
    description: str
    data: list[Trace]
    layout: dict[str, Any]
    subject: str = ""
    """The task it is about, where it is about one."""

    def shown(self) -> list[str]:
        """The contenders that have a line in it, each once."""
        return list(dict.fromkeys(t["meta"] for t in self.data if "meta" in t))


def layout(x: axes.Axis, y: axes.Axis, height: int) -> dict[str, Any]:
    """The frame all figures share."""
    return {
        "xaxis": x,
        "yaxis": y,
        "height": height,
        "margin": {"l": 8, "r": 14, "t": 10, "b": 8},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
        "hoverlabel": {"bgcolor": "#fff", "font": {"color": INK, "size": 12}},
    }


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
    y = (axes.logarithmic if logged else axes.linear)("", low, high)
    traces = [trace for each in bands for trace in _band(each, looks[each.contender])]
    ends = ", ".join(
        f"{b.contender} {number_words.score_words(b.median[-1])}" for b in bands
    )
    return Figure(
        name=name,
        title=quantity,
        description=f"{task}: {quantity} against steps. Last medians: {ends}.",
        data=traces,
        layout=layout(axes.steps_axis(max(each.steps[-1] for each in bands)), y, 300),
        subject=task,
    )


def _band(each: Band, look: Look) -> list[Trace]:
    """The range as a closed shape, and the median as a line over it."""
    common = {"meta": each.contender, "type": "scatter", "x": list(each.steps)}
    there_and_back = {
        "x": [*each.steps, *reversed(each.steps)],
        "y": [*each.high, *reversed(each.low)],
        "fill": "toself",
        "fillcolor": _faint(look.colour),
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
    }
    line = {
        "y": list(each.median),
        "mode": "lines",
        "name": html.escape(each.contender),
        "line": {"color": look.colour, "dash": look.dash, "width": 2},
        "hovertemplate": "%{fullData.name}<br>step %{x}: %{y:.4g}<extra></extra>",
    }
    shapes = [common | there_and_back] if each.seeds > 1 else []
    return [*shapes, common | line]


def _faint(colour: str) -> str:
    """The colour at a tenth of its strength."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.1)"


def sensitivity(
    name: str, task: TaskResult, results: Sequence[Result], looks: Looks
) -> Figure | None:
    """Score against learning rate; None where every run diverged or is missing."""
    points = [p for result in results for p in result.sensitivity]
    means = [p.mean for p in points if p.mean is not None]
    seen = axes.extent(x for p in points for x in (p.low, p.high) if x is not None)
    if seen is None:
        return None
    low, high = seen
    logged = task.scale == "log" and low > 0
    high = min(high, 1e4 * min(means)) if logged else high
    y = (axes.logarithmic if logged else axes.linear)("", low, high)
    lrs = [p.lr for p in points]
    frame = layout(axes.logarithmic("learning rate", min(lrs), max(lrs)), y, 320)
    # Diverged rates have no score: they are marked on a strip along the upper edge.
    frame["yaxis2"] = {"overlaying": "y", "range": [0, 1], "visible": False}
    frame["yaxis2"]["fixedrange"] = True
    best = ", ".join(
        f"{r.contender} at {number_words.rate_words(r, ' to ')}" for r in results
    )
    return Figure(
        name=name,
        title=f"{task.metric}, against learning rate",
        description=f"{task.name}: score against learning rate. Chosen: {best}.",
        data=[t for r in results for t in _sensitivity_traces(r, looks[r.contender])],
        layout=frame,
        subject=task.name,
    )


def _sensitivity_traces(result: Result, look: Look) -> list[Trace]:
    """Means with ranges, and a cross where runs diverged."""
    finite = [p for p in result.sensitivity if p.mean is not None]
    diverged = [p for p in result.sensitivity if p.diverged]
    chosen = result.choice.lrs
    common = {
        "type": "scatter",
        "meta": result.contender,
        "name": html.escape(result.contender),
    }
    line = {
        "x": [p.lr for p in finite],
        "y": [p.mean for p in finite],
        "error_y": _whiskers(finite, look),
        "mode": "lines+markers",
        "line": {"color": look.colour, "dash": look.dash, "width": 1.5},
        "marker": {
            "color": [look.colour if p.lr in chosen else "#fff" for p in finite],
            "line": {"color": look.colour, "width": 1.5},
            "symbol": look.symbol,
            "size": [10 if p.lr in chosen else 6 for p in finite],
        },
        "hovertemplate": "%{fullData.name}<br>lr %{x:.3g}: %{y:.4g}<extra></extra>",
    }
    crosses = {
        "x": [p.lr for p in diverged],
        "y": [0.97] * len(diverged),
        "yaxis": "y2",
        "mode": "markers",
        "marker": {"color": look.colour, "symbol": "x-thin-open", "size": 9},
        "text": [f"{p.diverged} of {p.diverged + p.finite} diverged" for p in diverged],
        "hovertemplate": "%{fullData.name}<br>lr %{x:.3g}: %{text}<extra></extra>",
    }
    return [common | line] + ([common | crosses] if diverged else [])


def _whiskers(points: Sequence[Sensitivity], look: Look) -> dict[str, Any]:
    """Error bars from the lowest to the highest seed."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [(p.high or 0.0) - (p.mean or 0.0) for p in points],
        "arrayminus": [(p.mean or 0.0) - (p.low or 0.0) for p in points],
        "color": look.colour,
        "thickness": 1,
        "width": 0,
    }


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
    x = (axes.relative if task.scale == "log" else axes.linear)(title, low, high)
    rows = [f"<b>{html.escape(r.contender)}</b><br>{r.verdict}" for r, _ in shown]
    y = axes.axis("", tickvals=list(range(len(rows))), ticktext=rows, showgrid=False)
    y |= {"range": [-0.6, len(rows) - 0.4], "ticks": "", "showline": False}
    frame = layout(x, y, 90 + 42 * len(rows))
    frame["shapes"] = [
        _shade(-margin, margin, "rgba(90,96,110,0.12)"),
        _shade(0, 0, MUTED),
    ]
    effects = "; ".join(
        f"{r.contender} {r.verdict}, {number_words.effect_words(c, task)}"
        for r, c in reversed(shown)
    )
    return Figure(
        name=name,
        title="effect, with its intervals",
        description=f"{task.name}: effects on {task.metric}. {effects}.",
        data=[t for i, (r, c) in enumerate(shown) for t in _effect(i, r, c, task)],
        layout=frame,
        subject=task.name,
    )


def _plain_bounds(contrast: Contrast) -> tuple[float, ...]:
    """The ends of the 95 % interval, if there is one."""
    interval = contrast.interval
    return () if interval is None else (interval.low, interval.high)


def _shade(low: float, high: float, colour: str) -> dict[str, Any]:
    """A vertical stripe behind the effects; a line where its sides meet."""
    line = {"color": colour, "width": 0 if high > low else 1}
    return {
        "type": "rect" if high > low else "line",
        "x0": low,
        "x1": high,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "layer": "below",
        "fillcolor": colour,
        "line": line,
    }


def _effect(
    row: int, result: Result, contrast: Contrast, task: TaskResult
) -> list[Trace]:
    """A thin verdict interval, a thick 95 % interval and the mean."""
    colour, symbol = _MARKS.get(result.verdict, _OPEN)
    words = f"{result.contender}: {number_words.effect_words(contrast, task)}"
    bars = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [interval.low, interval.high],
            "y": [row, row],
            "line": {"color": colour, "width": width},
            "hoverinfo": "skip",
        }
        for interval, width in (
            (contrast.verdict_interval, 1.5),
            (contrast.interval, 5),
        )
        if interval is not None and math.isfinite(interval.low)
    ]
    mark = {
        "type": "scatter",
        "mode": "markers",
        "x": [contrast.mean],
        "y": [row],
        "marker": {"color": colour, "symbol": symbol, "size": 12},
        "hovertemplate": html.escape(words) + "<extra></extra>",
    }
    if symbol == "circle-open":
        mark["marker"] = {
            "color": "#fff",
            "symbol": "circle",
            "size": 10,
            "line": {"color": colour, "width": 2},
        }
    return [*bars, mark]
