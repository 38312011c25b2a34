"""Which figures a page has: every task's effects, curves and learning rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mementum.lab.records.run import RunRecord
from mementum.lab.report.figures import task_figures
from mementum.lab.report.figures.bands import Band, Quantity, bands
from mementum.lab.report.figures.line_figures import arrivals, budgets, profiles
from mementum.lab.report.figures.palette import looks, panels
from mementum.lab.report.figures.task_figures import Figure
from mementum.lab.statistics import Analysis, TaskResult


@dataclass(frozen=True)
class FigureSet:
    """The figures of every task, in the order of the tasks."""

    forests: tuple[tuple[Figure, ...], ...]
    curves: tuple[tuple[Figure, ...], ...]
    sensitivities: tuple[tuple[Figure, ...], ...]
    budgets: tuple[tuple[Figure, ...], ...]
    arrivals: tuple[tuple[Figure, ...], ...]
    profiles: tuple[Figure, ...]

    def sheets(self) -> dict[str, list[Figure]]:
        """The figures of each kind, over all tasks."""
        kinds = {
            "effects": self.forests,
            "curves": self.curves,
            "rates": self.sensitivities,
            "budgets": self.budgets,
            "arrivals": self.arrivals,
            "profiles": (self.profiles,),
        }
        return {
            name: [figure for task in kind for figure in task]
            for name, kind in kinds.items()
        }

    def all(self) -> list[Figure]:
        """Every figure once."""
        return [figure for kind in self.sheets().values() for figure in kind]

    @classmethod
    def of(cls, analysis: Analysis, records: Sequence[RunRecord]) -> FigureSet:
        """Draw everything there is to draw."""
        style = looks(analysis.contenders, analysis.reference, analysis.matched)
        numbered = list(enumerate(analysis.tasks))
        forests = [[task_figures.forest(f"forest-{i}", task)] for i, task in numbered]
        return cls(
            forests=tuple(map(_present, forests)),
            curves=tuple(
                _present(_curves_of(i, task, analysis, records)) for i, task in numbered
            ),
            sensitivities=tuple(
                _present(_sensitivities_of(i, task, analysis)) for i, task in numbered
            ),
            budgets=tuple(tuple(budgets(i, analysis, style)) for i, _ in numbered),
            arrivals=tuple(tuple(arrivals(i, analysis, style)) for i, _ in numbered),
            profiles=tuple(profiles(analysis, style)),
        )


def _present(found: Iterable[Figure | None]) -> tuple[Figure, ...]:
    """The figures that have something to show."""
    return tuple(figure for figure in found if figure is not None)


def _curves_of(
    number: int, task: TaskResult, analysis: Analysis, records: Sequence[RunRecord]
) -> list[Figure | None]:
    """Training objective and metric of a task, at most eight contenders a panel."""
    style = looks(analysis.contenders, analysis.reference, analysis.matched)

    def behind(band: Band) -> bool:
        """Sort the reference first: what coincides with it is drawn over it."""
        return band.contender != analysis.reference

    axes: dict[Quantity, str] = {
        "train": "training objective",
        "validation": task.metric,
    }
    drawn = {q: sorted(bands(task, records, q), key=behind) for q in axes}
    found = []
    for part, names in enumerate(panels(analysis.contenders, analysis.reference)):
        for quantity, axis in axes.items():
            found.append(
                task_figures.curves(
                    f"curve-{quantity}-{number}-{part}",
                    task.name,
                    axis,
                    [b for b in drawn[quantity] if b.contender in names],
                    style,
                )
            )
    return found


def _sensitivities_of(
    number: int, task: TaskResult, analysis: Analysis
) -> list[Figure | None]:
    """Score against learning rate, in panels of at most eight contenders."""
    style = looks(analysis.contenders, analysis.reference, analysis.matched)
    results = sorted(task.results, key=lambda r: r.contender != analysis.reference)
    return [
        task_figures.sensitivity(
            f"sensitivity-{number}-{part}",
            task,
            [result for result in results if result.contender in names],
            style,
        )
        for part, names in enumerate(panels(analysis.contenders, analysis.reference))
    ]
