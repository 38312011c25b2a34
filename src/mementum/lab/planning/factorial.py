"""The plan of a comparison: which runs it needs, decided before any is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from scipy.stats import qmc

from mementum.lab.planning.search_spaces import BREADTH, SEED, short
from mementum.lab.records.plan import HALF_DECADE, Design, Outline, Plan, rate
from mementum.lab.records.run import CONSTANT, CPU, SINGLE, RunSpec, label
from mementum.lab.tasks.targets import family, goal

if TYPE_CHECKING:
    from mementum.lab.planning.contender import Contender
    from mementum.lab.records.run import Option
    from mementum.lab.tasks.task import Task

    _Settings: TypeAlias = Sequence[tuple[float, dict[str, Option]]]


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


def factorial(
    *,
    tasks: Sequence[Task],
    contenders: Sequence[Contender],
    seeds: Sequence[int] = (),
    grid: Grid,
    reference: str,
    versions: Mapping[str, str],
    trials: int = 0,
    widen: int = 0,
    weight_decay: float | None = None,
    design: Design | None = None,
) -> Plan:
    """Return the plan of every contender at every learning rate with every seed.

    With a design these are the first runs alone: those of the pilot's first rung, or of
    the first look where there is one rate. A deterministic task has the first seed
    only. With `trials` everyone is tuned in full as well; with `weight_decay` everyone
    has this one. A seed named twice is one.
    """
    if design is not None:
        several = design.pilot and (grid.points > 1 or trials)
        seeds = range(design.pilot[0][1]) if several else design.judging(1)
    seeds = [*dict.fromkeys(seeds)]
    if weight_decay is not None:
        contenders = [each.decaying(weight_decay) for each in contenders]
    on_grid, varied = list[RunSpec](), list[RunSpec]()
    for task in tasks:
        runs = _Runs(task, seeds[:1] if task.deterministic else seeds, versions)
        for contender in contenders:
            usual = contender.options_over(task.steps)
            points = [(lr, usual) for lr in grid.around(contender.lr)]
            # A matched memory is one of the settings that its original is tuned over.
            many = trials if contender.matched is None else 0
            on_grid += runs.of(contender, points)
            varied += runs.of(contender, halton_trials(contender, task.steps, many))
    return Plan(
        tasks=tuple(map(outline, tasks)),
        reference=reference,
        runs=tuple(on_grid),
        trials=tuple(varied),
        centres={contender.name: contender.lr for contender in contenders},
        factor=grid.factor,
        widen=widen,
        weight_decay=weight_decay,
        design=design,
        step_costs={
            label(task.name, task.schedule): task.step_costs
            for task in tasks
            if task.step_costs
        },
    )


@dataclass(frozen=True)
class _Runs:
    """The runs of one task: every setting of a contender with every seed."""

    task: Task
    seeds: Sequence[int]
    versions: Mapping[str, str]

    def of(self, contender: Contender, settings: _Settings) -> Iterator[RunSpec]:
        """Return the runs of a contender at these learning rates with these options.

        Stacks are for CPUs.
        """
        device = self.task.device or CPU
        for lr, options in settings:
            for seed in self.seeds:
                yield RunSpec(
                    task=self.task.name,
                    task_version=self.task.version,
                    data=self.task.data(),
                    contender=contender.optimizer_name,
                    options=dict(options),
                    lr=lr,
                    seed=seed,
                    steps=self.task.steps,
                    versions={**self.versions, **contender.identity},
                    schedule=self.task.schedule,
                    matched_memory=contender.matched is not None,
                    form=self.task.form if device == CPU else SINGLE,
                    device=device,
                )


def outline(task: Task) -> Outline:
    """Return the outline of a task, with its frozen goal where it has one."""
    target, untrained, best = goal(task)
    title = task.title
    if task.schedule != CONSTANT:
        title = f"{title}, {task.schedule} schedule"
    return Outline(
        name=label(task.name, task.schedule),
        title=title,
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
        schedule=task.schedule,
    )


def halton_trials(
    contender: Contender, steps: int, count: int
) -> list[tuple[float, dict[str, Option]]]:
    """Return so many learning rates with options, the same whenever they are asked for.

    The published default is one of the settings that full tuning chooses from, and is
    not among these.
    """
    if count < 1:
        return []
    width = 1 + len(contender.space)
    points: Sequence[Sequence[float]] = (
        qmc.Halton(d=width, scramble=True, seed=SEED).random(count).tolist()
    )
    drawn = []
    for first, *rest in points:
        options = contender.options_over(steps)
        for dimension, share in zip(contender.space, rest, strict=True):
            dimension.settle(options, share, steps)
        drawn.append((short(contender.lr * BREADTH ** (2 * first - 1)), options))
    return drawn
