"""The plan of a comparison: which runs it needs, decided before any is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mementum.lab import kinds
from mementum.lab.run import FORMAT, SPEC, FormatError, RunSpec

if TYPE_CHECKING:
    from mementum.lab.contender import Contender
    from mementum.lab.task import Task


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Learning rates around a centre, equally many and equally wide for everyone."""

    points: int = 5
    """How many, an odd number: the centre and as many on each side of it."""
    factor: float = 10**0.5
    """The ratio of neighbours; half a decade unless told."""

    def around(self, centre: float) -> tuple[float, ...]:
        """Return the rates from low to high, to three significant digits."""
        half = self.points // 2
        exponents = range(-half, half + 1)
        return tuple(
            float(f"{centre * self.factor**exponent:.3g}") for exponent in exponents
        )


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

    def specs(self) -> tuple[RunSpec, ...]:
        """Return every run of the plan."""
        return self.runs

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
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the plan is incomplete: {error}") from error
        kinds.check(plan, {"reference": kinds.TEXT})
        for task in plan.tasks:
            kinds.check(task, OUTLINE)
        for run in plan.runs:
            kinds.check(run, SPEC)
        return plan


OUTLINE = {
    "name": kinds.TEXT,
    "title": kinds.TEXT,
    "metric": kinds.TEXT,
    "steps": kinds.WHOLE,
    "deterministic": kinds.FLAG,
    "scale": kinds.SCALE,
    "margin": kinds.NUMBER,
    "seconds": kinds.NUMBER,
}


def factorial(
    *,
    tasks: Sequence[Task],
    contenders: Sequence[Contender],
    seeds: Sequence[int],
    grid: Grid,
    reference: str,
    versions: Mapping[str, str],
) -> Plan:
    """Return the plan of every contender at every learning rate with every seed.

    The learning rate by which a seed is scored is chosen on the other seeds, so no run
    is spent on tuning alone. A deterministic task is run with the first seed only.
    """
    runs = tuple(
        RunSpec(
            task=task.name,
            task_version=task.version,
            data=task.data(),
            contender=contender.name,
            options=dict(contender.options),
            lr=lr,
            seed=seed,
            steps=task.steps,
            versions=dict(versions),
        )
        for task in tasks
        for contender in contenders
        for lr in grid.around(contender.lr)
        for seed in (seeds[:1] if task.deterministic else seeds)
    )
    return Plan(tasks=tuple(map(outline, tasks)), reference=reference, runs=runs)


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
    )
