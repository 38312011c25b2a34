"""The plan of a comparison: which runs it needs, decided before any is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from mementum.lab import kinds, spaces
from mementum.lab.families import family
from mementum.lab.run import FORMAT, SPEC, FormatError, RunSpec
from mementum.lab.targets import goal

if TYPE_CHECKING:
    from mementum.lab.contender import Contender, Option
    from mementum.lab.task import Task

    Settings: TypeAlias = Sequence[tuple[float, dict[str, Option]]]

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
    untrained: float | None = None
    best: float | None = None
    family: str = ""


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
    widen: int = 0
    """How often a grid may be widened whose end was chosen, unless told otherwise."""
    weight_decay: float | None = None
    """The weight decay of every contender; None where each has the published one."""

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
                widen=plain.get("widen", 0),
                weight_decay=plain.get("weight_decay"),
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
    "widen": kinds.WHOLE,
    "weight_decay": kinds.NUMBER_OR_NONE,
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
    "untrained": kinds.NUMBER_OR_NONE,
    "best": kinds.NUMBER_OR_NONE,
    "family": kinds.TEXT,
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
    widen: int = 0,
    weight_decay: float | None = None,
) -> Plan:
    """Return the plan of every contender at every learning rate with every seed.

    No run is spent on tuning alone, as the rate of a seed is chosen on other seeds. A
    deterministic task has the first seed only. With `trials` everyone is tuned in full
    as well; with `weight_decay` everyone has this one.
    """
    if weight_decay is not None:
        contenders = [each.decaying(weight_decay) for each in contenders]
    on_grid, varied = list[RunSpec](), list[RunSpec]()
    for task in tasks:
        runs = Runs(task, seeds[:1] if task.deterministic else seeds, versions)
        for contender in contenders:
            usual = contender.options_over(task.steps)
            points = [(lr, usual) for lr in grid.around(contender.lr)]
            # A matched memory is one of the settings that its original is tuned over.
            many = trials if contender.matched is None else 0
            on_grid += runs.of(contender, points)
            varied += runs.of(contender, spaces.trials(contender, task.steps, many))
    return Plan(
        tasks=tuple(map(outline, tasks)),
        reference=reference,
        runs=tuple(on_grid),
        trials=tuple(varied),
        centres={contender.name: contender.lr for contender in contenders},
        factor=grid.factor,
        widen=widen,
        weight_decay=weight_decay,
    )


@dataclass(frozen=True)
class Runs:
    """The runs of one task: every setting of a contender with every seed."""

    task: Task
    seeds: Sequence[int]
    versions: Mapping[str, str]

    def of(self, contender: Contender, settings: Settings) -> Iterator[RunSpec]:
        """Return the runs of a contender at these learning rates with these options."""
        for lr, options in settings:
            for seed in self.seeds:
                yield RunSpec(
                    task=self.task.name,
                    task_version=self.task.version,
                    data=self.task.data(),
                    contender=contender.name,
                    options=dict(options),
                    lr=lr,
                    seed=seed,
                    steps=self.task.steps,
                    versions=dict(self.versions),
                )


def outline(task: Task) -> Outline:
    """Return the outline of a task, with its frozen goal where it has one."""
    target, untrained, best = goal(task)
    return Outline(
        name=task.name,
        title=task.title,
        metric=task.metric,
        steps=task.steps,
        deterministic=task.deterministic,
        scale=task.scale,
        margin=task.margin,
        seconds=task.seconds,
        target=target,
        untrained=untrained,
        best=best,
        family=family(task),
    )
