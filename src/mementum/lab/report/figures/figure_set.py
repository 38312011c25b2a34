"""Which figures a page has: those of every task, and those of all together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mementum.lab.records.run import RunRecord
from mementum.lab.report.figures import line_figures, task_figures
from mementum.lab.report.figures.bands import Quantity, bands
from mementum.lab.report.figures.figure import Figure
from mementum.lab.report.figures.palette import looks, panels
from mementum.lab.statistics import Analysis, TaskResult


@dataclass(frozen=True)
class FigureSet:
    """The figures of every task, in the order of the tasks, and those of all."""

    tasks: tuple[tuple[Figure, ...], ...]
    across: tuple[Figure, ...]

    def all(self) -> list[Figure]:
        """Every figure once."""
        return [*self.across, *(figure for task in self.tasks for figure in task)]

    @classmethod
    def of(cls, analysis: Analysis, records: Sequence[RunRecord]) -> FigureSet:
        """Say everything there is to draw."""
        style = looks(analysis.contenders, analysis.reference, analysis.matched)
        parts = panels(analysis.contenders, analysis.reference)
        profiles = [
            line_figures.profiles(f"profile-{part}", analysis.across, names, style)
            for part, names in enumerate(parts)
        ]
        return cls(
            tasks=tuple(
                _of_task(i, task, analysis, records)
                for i, task in enumerate(analysis.tasks)
            ),
            across=_present([line_figures.ranks(analysis), *profiles]),
        )


def _present(found: Iterable[Figure | None]) -> tuple[Figure, ...]:
    """The figures that have something to show."""
    return tuple(figure for figure in found if figure is not None)


def _of_task(
    number: int, task: TaskResult, analysis: Analysis, records: Sequence[RunRecord]
) -> tuple[Figure, ...]:
    """The figures of a task; the reference is first: what coincides is drawn over it.

    More contenders than a panel holds have several of each kind.
    """
    style = looks(analysis.contenders, analysis.reference, analysis.matched)
    parts = [
        (f"{number}-{part}", names)
        for part, names in enumerate(panels(analysis.contenders, analysis.reference))
    ]
    axes: dict[Quantity, str] = {
        "train": "training objective",
        "validation": task.metric,
    }
    drawn = {
        quantity: sorted(
            bands(task, records, quantity),
            key=lambda band: band.contender != analysis.reference,
        )
        for quantity in axes
    }
    results = sorted(task.results, key=lambda r: r.contender != analysis.reference)
    found = [task_figures.forest(f"forest-{number}", task)]
    for key, names in parts:
        found += [
            task_figures.curves(
                f"curve-{quantity}-{key}",
                task.name,
                axis,
                [band for band in drawn[quantity] if band.contender in names],
                style,
            )
            for quantity, axis in axes.items()
        ]
    for key, names in parts:
        own = [result for result in results if result.contender in names]
        found += [
            task_figures.sensitivity(f"rates-{key}", task, own, style),
            line_figures.arrivals(f"arrival-{key}", task, names, style),
        ]
    return _present(found)
