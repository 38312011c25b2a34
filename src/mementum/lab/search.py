"""The plan of a comparison: which runs it needs, decided before any is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mementum.lab import kinds, spaces
from mementum.lab.run import FORMAT, SPEC, FormatError, RunSpec

if TYPE_CHECKING:
    from mementum.lab.contender import Contender
    from mementum.lab.task import Task


HALF_DECADE = 10**0.5
MATCHED = "-matched"
"""Ends the name of a contender whose memory is matched to the length of the run."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Learning rates around a centre, equally many and equally wide for everyone."""

    points: int = 5
    """How many, an odd number: the centre and as many on each side of it."""
    factor: float = HALF_DECADE
    """The ratio of neighbours; half a decade unless told."""

    def around(self, centre: float) -> tuple[float, ...]:
        """Return the rates from low to high, to three significant digits."""
        half = self.points // 2
        return tuple(
            rate(centre, self.factor, exponent) for exponent in range(-half, half + 1)
        )


def rate(centre: float, factor: float, exponent: int) -> float:
    """Return the learning rate so many places off the centre, to three digits."""
    return float(f"{centre * factor**exponent:.3g}")


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What must be known of a task to analyse its runs and to foretell their cost."""

    name: str
    title: str
    metric: str
    steps: int
    deterministic: bool
    scale: str
    margin: float
    seconds: float
    target: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A comparison as plain data: its tasks, its reference and all its runs.

    It is kept beside the records, so that they can be analysed on a machine that lacks
    the tasks, their data or this version of torch.
    """

    tasks: tuple[Outline, ...]
    reference: str
    """The contender all others are compared with."""
    runs: tuple[RunSpec, ...]
    """The runs on the grids of learning rates, all else as published."""
    trials: tuple[RunSpec, ...] = ()
    """The runs of full tuning, which vary the other hyperparameters too."""
    centres: Mapping[str, float] = field(default_factory=dict)
    """The published learning rate of each contender."""
    factor: float = HALF_DECADE
    """The ratio of neighbouring learning rates."""

    def specs(self) -> tuple[RunSpec, ...]:
        """Return every run of the plan."""
        return self.runs + self.trials

    def beyond(self, task: str, contender: str, *, low: bool, high: bool) -> Plan:
        """Return the plan with two more learning rates beyond an end of a grid."""
        own = [r for r in self.runs if (r.task, r.contender) == (task, contender)]
        lrs = sorted({spec.lr for spec in own})
        centre = self.centres.get(contender, lrs[len(lrs) // 2])
        place = lrs.index(centre)
        below = range(-place - 2, -place) if low else ()
        above = range(len(lrs) - place, len(lrs) - place + 2) if high else ()
        found = [rate(centre, self.factor, step) for step in (*below, *above)]
        pattern = [spec for spec in own if spec.lr == centre]
        fresh = tuple(replace(spec, lr=lr) for lr in found for spec in pattern)
        return replace(self, runs=self.runs + fresh)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Plan:
        """Return the plan that ``to_dict`` gave.

        Raises ``FormatError`` for another version of the form, and ``ValueError`` for
        data that is no plan.
        """
        if plain.get("format") != FORMAT:
            raise FormatError(plain.get("format"))
        try:
            plan = cls(
                tasks=tuple(Outline(**task) for task in plain["tasks"]),
                reference=plain["reference"],
                runs=tuple(RunSpec(**run) for run in plain["runs"]),
                trials=tuple(RunSpec(**run) for run in plain.get("trials", ())),
                centres=dict(plain.get("centres", {})),
                factor=plain.get("factor", HALF_DECADE),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the plan is incomplete: {error}") from error
        kinds.check(plan, PLAN)
        for task in plan.tasks:
            kinds.check(task, OUTLINE)
        for run in plan.specs():
            kinds.check(run, SPEC)
        return plan


PLAN = {
    "reference": kinds.TEXT,
    "factor": kinds.NUMBER,
    "centres": kinds.Kind(
        lambda value: kinds.table(kinds.is_number, value), "a table of numbers"
    ),
}
OUTLINE = {
    "name": kinds.TEXT,
    "title": kinds.TEXT,
    "metric": kinds.TEXT,
    "steps": kinds.WHOLE,
    "deterministic": kinds.FLAG,
    "scale": kinds.SCALE,
    "margin": kinds.NUMBER,
    "seconds": kinds.NUMBER,
    "target": kinds.NUMBER_OR_NONE,
}


def factorial(
    *,
    tasks: Sequence[Task],
    contenders: Sequence[Contender],
    seeds: Sequence[int],
    grid: Grid,
    reference: str,
    versions: Mapping[str, str],
    trials: int = 0,
) -> Plan:
    """Return the plan of every contender at every learning rate with every seed.

    The learning rate by which a seed is scored is chosen on the other seeds, so no run
    is spent on tuning alone. A deterministic task is run with the first seed only.
    With `trials` every contender is tuned in full as well, with so many settings more.
    """
    on_grid: list[RunSpec] = []
    varied: list[RunSpec] = []
    for task in tasks:
        chosen = seeds[:1] if task.deterministic else seeds
        for contender in contenders:
            options = contender.options_over(task.steps)
            points = [(lr, options) for lr in grid.around(contender.lr)]
            # A matched memory is one of the settings that its original is tuned over.
            many = trials if contender.matched is None else 0
            drawn = spaces.trials(contender, task.steps, many)
            for runs, settings in ((on_grid, points), (varied, drawn)):
                runs += [
                    RunSpec(
                        task=task.name,
                        task_version=task.version,
                        data=task.data(),
                        contender=contender.name,
                        options=dict(own),
                        lr=lr,
                        seed=seed,
                        steps=task.steps,
                        versions=dict(versions),
                    )
                    for lr, own in settings
                    for seed in chosen
                ]
    return Plan(
        tasks=tuple(map(outline, tasks)),
        reference=reference,
        runs=tuple(on_grid),
        trials=tuple(varied),
        centres={contender.name: contender.lr for contender in contenders},
        factor=grid.factor,
    )


def outline(task: Task) -> Outline:
    """Return the outline of a task."""
    return Outline(
        name=task.name,
        title=task.title,
        metric=task.metric,
        steps=task.steps,
        deterministic=task.deterministic,
        scale=task.scale,
        margin=task.margin,
        seconds=task.seconds,
        target=task.target,
    )
