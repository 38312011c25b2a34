"""Figures of one line a contender: budgets, times to a target, profiles."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mementum.lab.report import number_words
from mementum.lab.report.figures import axes
from mementum.lab.report.figures.palette import panels
from mementum.lab.report.figures.task_figures import Figure, Looks, layout
from mementum.lab.statistics import Analysis, Result, TaskResult
from mementum.lab.statistics.grid import shown_score


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One contender's line; a stepped one keeps its value until the next point."""

    xs: Sequence[float]
    ys: Sequence[float]


def _lines(
    found: Mapping[str, _Line], looks: Looks, *, stepped: bool, hover: str
) -> list[dict[str, Any]]:
    """The traces of these lines, in their order."""
    return [
        {
            "type": "scatter",
            "meta": name,
            "name": html.escape(name),
            "x": list(line.xs),
            "y": list(line.ys),
            "mode": "lines" if stepped else "lines+markers",
            "line": {
                "color": looks[name].colour,
                "dash": looks[name].dash,
                "width": 2,
                "shape": "hv" if stepped else "linear",
            },
            "marker": {
                "color": looks[name].colour,
                "symbol": looks[name].symbol,
                "size": 6,
            },
            "hovertemplate": f"%{{fullData.name}}<br>{hover}<extra></extra>",
        }
        for name, line in found.items()
    ]


def budgets(number: int, analysis: Analysis, looks: Looks) -> list[Figure]:
    """Expected score against the number of settings tuned over, in panels."""
    task = analysis.tasks[number]
    curves = {result.contender: _bought(task, result) for result in task.results}
    found = []
    for part, names in enumerate(panels(analysis.contenders, analysis.reference)):
        own = {name: curves[name] for name in names if curves[name].ys}
        seen = axes.extent(y for line in own.values() for y in line.ys)
        if seen is None:
            continue
        most = max(len(line.xs) for line in own.values())
        scale = axes.logarithmic if task.scale == "log" else axes.linear
        y = scale("", *seen)
        x = axes.counts("settings tried", 1, most, 0.3)
        ends = ", ".join(
            f"{name} {number_words.score_words(line.ys[0])} to "
            f"{number_words.score_words(line.ys[-1])}"
            for name, line in own.items()
        )
        hover = "best of %{x}: %{y:.4g}"
        found.append(
            Figure(
                name=f"budget-{number}-{part}",
                title=f"expected {task.metric}, against settings tried",
                description=f"{task.name}: expected score from one setting to all "
                f"settings tried. {ends}.",
                data=_lines(own, looks, stepped=False, hover=hover),
                layout=layout(x, y, 280),
                subject=task.name,
            )
        )
    return found


def _bought(task: TaskResult, result: Result) -> _Line:
    """The expected score after each number of settings tried, where there is one."""
    ys = [
        score
        for value in task.budget(result)
        if (score := shown_score(value, task.scale)) is not None
    ]
    return _Line(xs=range(1, 1 + len(ys)), ys=ys)


def arrivals(number: int, analysis: Analysis, looks: Looks) -> list[Figure]:
    """The share of runs that have reached the target, against steps, in panels."""
    task = analysis.tasks[number]
    if task.target is None:
        return []
    found = []
    for part, names in enumerate(panels(analysis.contenders, analysis.reference)):
        own = {
            result.contender: _Line(xs=xs, ys=ys)
            for name in names
            if (result := task.result(name)) and result.reach and result.reach.times
            for xs, ys in [result.reach.curve()]
        }
        if not own:
            continue
        x = axes.steps_axis(task.steps)
        y = axes.shares()
        hover = "by step %{x}: %{y:.0%}"
        found.append(
            Figure(
                name=f"arrival-{number}-{part}",
                title="runs that have reached the target, against steps",
                description=f"{task.name}: {_reached_words(task, list(own))}.",
                data=_lines(own, looks, stepped=True, hover=hover),
                layout=layout(x, y, 260),
                subject=task.name,
            )
        )
    return found


def _reached_words(task: TaskResult, names: Sequence[str]) -> str:
    """How many runs of each contender reached the target."""
    found = []
    for name in names:
        result = task.result(name)
        if result is not None and result.reach is not None:
            reach = result.reach
            found.append(f"{name} {reach.reached} of {len(reach.times)} runs")
    return f"reached the target: {', '.join(found)}"


def profiles(analysis: Analysis, looks: Looks) -> list[Figure]:
    """The share of tasks solved within a ratio of the fastest time, in panels."""
    across = analysis.across
    curves = {s.contender: s for s in across.standings if s.profile}
    found = []
    for part, names in enumerate(panels(analysis.contenders, analysis.reference)):
        own = {
            name: _Line(xs=across.ratios, ys=curves[name].profile)
            for name in names
            if name in curves
        }
        if not own:
            continue
        x = axes.logarithmic("multiple of the fastest time", 1, across.ratios[-1])
        y = axes.shares()
        areas = ", ".join(f"{name} {curves[name].area:.2f}" for name in own)
        found.append(
            Figure(
                name=f"profile-{part}",
                title="tasks solved, against multiple of the fastest time",
                description=f"Performance profiles. Mean up to 4 times: {areas}.",
                data=_lines(
                    own, looks, stepped=True, hover="within %{x:.2f} times: %{y:.0%}"
                ),
                layout=layout(x, y, 300),
            )
        )
    return found
