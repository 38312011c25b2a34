"""Figures of one line a contender: times to a target, profiles; and mean ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mementum.lab.report import number_words
from mementum.lab.report.figures import axes
from mementum.lab.report.figures.figure import Figure, Series, dot
from mementum.lab.report.figures.palette import INK, Look
from mementum.lab.report.figures.task_figures import Looks
from mementum.lab.statistics import Across, Analysis, TaskResult


def _lines(
    found: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    looks: Looks,
    words: Mapping[str, str],
) -> tuple[Series, ...]:
    """The series of these lines, which keep their value to the next point."""
    return tuple(
        Series(
            name=name,
            look=looks[name],
            xs=xs,
            ys=ys,
            words=f"{name} {words[name]}",
            stepped=True,
            labelled=True,
        )
        for name, (xs, ys) in found.items()
    )


def _told(words: Mapping[str, str]) -> str:
    """The words of all lines in a row."""
    return ", ".join(f"{name} {said}" for name, said in words.items())


def arrivals(
    name: str, task: TaskResult, names: Sequence[str], looks: Looks
) -> Figure | None:
    """The share of runs that have reached the target, against steps; None if none."""
    found, words = {}, {}
    for result in task.results:
        reach = result.reach
        if reach is not None and reach.times and result.contender in names:
            found[result.contender] = reach.curve()
            words[result.contender] = f"{reach.reached} of {len(reach.times)} runs"
    if not found:
        return None
    return Figure(
        name=name,
        title="runs that have reached the target, against steps",
        description=f"{task.name}: reached the target: {_told(words)}.",
        x=axes.steps_axis(task.steps),
        y=axes.shares(),
        height=250,
        series=_lines(found, looks, words),
        subject=task.name,
    )


def profiles(
    name: str, across: Across, names: Sequence[str], looks: Looks
) -> Figure | None:
    """The share of tasks solved within a ratio of the fastest time; None if none."""
    standings = [s for s in across.standings if s.profile and s.contender in names]
    if not standings:
        return None
    words = {each.contender: f"{each.area:.2f}" for each in standings}
    found = {each.contender: (across.ratios, each.profile) for each in standings}
    return Figure(
        name=name,
        title="tasks solved, against multiple of the fastest time",
        description=f"Performance profiles. Mean up to 4 times: {_told(words)}.",
        x=axes.logarithmic("multiple of the fastest time", 1, across.ratios[-1]),
        y=axes.shares(),
        height=290,
        series=_lines(found, looks, words),
    )


def ranks(analysis: Analysis) -> Figure | None:
    """Mean ranks with their intervals, the best at the top; None without ranks."""
    found = [
        (each.contender, each.rank)
        for each in reversed(analysis.across.standings)
        if each.rank is not None
    ]
    found.sort(key=lambda pair: -pair[1].value)
    if not found:
        return None
    ends = [
        end
        for _, rank in found
        for each in (rank.these, rank.like_these)
        if each is not None
        for end in (each.low, each.high)
    ]
    values = [rank.value for _, rank in found]
    words = {
        name: number_words.with_interval(rank.value, rank.like_these, 1)
        for name, rank in reversed(found)
    }
    return Figure(
        name="ranks",
        title="mean rank, 1 is best: for these tasks thick, for tasks like these thin",
        description=f"Mean ranks with intervals for tasks like these. {_told(words)}.",
        x=axes.linear("mean rank", min(values + ends), max(values + ends)),
        y=axes.rows([name for name, _ in found]),
        height=70 + 22 * len(found),
        series=tuple(
            dot(
                name,
                row,
                Look(INK, (), "o"),
                rank.value,
                {1.0: rank.like_these, 3.0: rank.these},
                words[name],
                filled=name != analysis.reference,
            )
            for row, (name, rank) in enumerate(found)
        ),
    )
