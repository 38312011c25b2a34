"""From the records of a plan to an analysis."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from mementum.lab.run import RunRecord, RunSpec, Status
from mementum.lab.statistics.analysis import (
    Analysis,
    Result,
    Sensitivity,
    TaskResult,
    Trouble,
)
from mementum.lab.statistics.choice import (
    Choice,
    Grid,
    choose,
    on_scale,
    scale_margin,
)
from mementum.lab.statistics.contrast import ALPHA, POWER, Contrast, Verdict, compare
from mementum.lab.statistics.facts import PlanFacts, TaskFacts
from mementum.lab.statistics.plain import shown_score
from mementum.lab.statistics.remarks import of_choice

Records = Mapping[str, RunRecord]


def analyse(records: Iterable[RunRecord], plan: PlanFacts) -> Analysis:
    """Compare the contenders of a plan on the records that belong to it.

    Records of runs outside the plan are left out. Planned runs without a record count
    as missing, so an unfinished comparison can be analysed and says that it is one.
    Neither the order of the records nor that of the plan's runs matters, except that
    contenders are listed as the plan lists them.
    """
    specs = list(plan.specs())
    planned = {spec.run_id for spec in specs}
    found = {r.spec.run_id: r for r in records if r.spec.run_id in planned}
    done = [r for r in found.values() if r.status is not Status.FAILED]
    tasks = [
        of_task(task, [spec for spec in specs if spec.task == task.name], found, plan)
        for task in plan.tasks
    ]
    return Analysis(
        reference=plan.reference,
        contenders=tuple(dict.fromkeys(spec.contender for spec in specs)),
        tasks=tuple(tasks),
        troubles=tuple(trouble for spec in specs for trouble in of_run(spec, found)),
        alpha=ALPHA,
        power=POWER,
        runs_planned=len(planned),
        runs_done=len(done),
        versions=specs[0].versions if specs else {},
        environments=distinct(r.environment for r in found.values()),
        seconds=math.fsum(r.seconds for r in found.values()),
    )


def of_task(
    task: TaskFacts, specs: Sequence[RunSpec], found: Records, plan: PlanFacts
) -> TaskResult:
    """Choose, compare and summarise on one task."""
    by_contender: dict[str, list[RunSpec]] = {}
    for spec in specs:
        by_contender.setdefault(spec.contender, []).append(spec)
    choices = {
        name: choose(name, grid(own, found, task.scale))
        for name, own in by_contender.items()
    }
    reference = choices.get(plan.reference) or nothing(plan.reference)
    rivals = [c for name, c in choices.items() if name != plan.reference]
    contrasts = compare(
        rivals,
        reference,
        margin=scale_margin(task.margin, task.scale),
        deterministic=task.deterministic,
    )
    by_name = {contrast.contender: contrast for contrast in contrasts}
    return TaskResult(
        name=task.name,
        title=task.title,
        metric=task.metric,
        scale=task.scale,
        margin=task.margin,
        deterministic=task.deterministic,
        steps=task.steps,
        data=specs[0].data if specs else "",
        parameters=next(
            (found[s.run_id].parameters for s in specs if s.run_id in found), None
        ),
        seeds=tuple(sorted({spec.seed for spec in specs})),
        results=tuple(
            of_contender(
                by_contender[name], choice, by_name.get(name), found, task.scale
            )
            for name, choice in choices.items()
        ),
    )


def grid(specs: Sequence[RunSpec], found: Records, scale: str) -> Grid:
    """The results of one contender on one task, by learning rate and seed."""
    values = {
        (spec.lr, spec.seed): value
        for spec in specs
        if (value := outcome(found.get(spec.run_id), scale)) is not None
    }
    return Grid(
        lrs=tuple(sorted({spec.lr for spec in specs})),
        seeds=tuple(sorted({spec.seed for spec in specs})),
        values=values,
    )


def outcome(record: RunRecord | None, scale: str) -> float | None:
    """A run's value on the scale: inf if it diverged, None without a result."""
    if record is None or record.status is Status.FAILED:
        return None
    if record.status is Status.DIVERGED or record.score is None:
        return math.inf
    return on_scale(record.score, scale)


def nothing(contender: str) -> Choice:
    """The choice of a contender that has no planned run on the task."""
    empty = Grid(lrs=(), seeds=(), values={})
    return Choice(contender=contender, grid=empty, scored=(), in_sample=False)


def of_contender(
    specs: Sequence[RunSpec],
    choice: Choice,
    contrast: Contrast | None,
    found: Records,
    scale: str,
) -> Result:
    """Put together what there is to say of one contender on one task."""
    if contrast is None:
        verdict = Verdict.REFERENCE if choice.usable else Verdict.FAILED
    else:
        verdict = contrast.verdict
    return Result(
        contender=choice.contender,
        options=specs[0].options,
        choice=choice,
        contrast=contrast,
        verdict=verdict,
        score=shown_score(choice.mean, scale),
        sensitivity=tuple(
            sensitivity(choice.grid, lr, scale) for lr in choice.grid.lrs
        ),
        microseconds_per_step=cost(found[s.run_id] for s in specs if s.run_id in found),
        notes=of_choice(choice) if contrast is None else contrast.notes,
    )


def sensitivity(grid: Grid, lr: float, scale: str) -> Sensitivity:
    """What all seeds score at one learning rate."""
    present = [
        grid.values[lr, seed] for seed in grid.seeds if (lr, seed) in grid.values
    ]
    finite = [value for value in present if math.isfinite(value)]
    mean = math.fsum(finite) / len(finite) if finite else None
    return Sensitivity(
        lr=lr,
        mean=shown_score(mean, scale),
        low=shown_score(min(finite, default=None), scale),
        high=shown_score(max(finite, default=None), scale),
        finite=len(finite),
        diverged=len(present) - len(finite),
        missing=len(grid.seeds) - len(present),
    )


def cost(records: Iterable[RunRecord]) -> float | None:
    """Median microseconds inside `optimizer.step()` per step, over finished runs."""
    costs = [
        1e6 * record.optimizer_seconds / record.spec.steps
        for record in records
        if record.status is Status.FINISHED
    ]
    return statistics.median(costs) if costs else None


def of_run(spec: RunSpec, found: Records) -> tuple[Trouble, ...]:
    """What went wrong in one planned run: nothing, or one trouble."""
    record = found.get(spec.run_id)
    if record is not None and record.status is Status.FINISHED:
        return ()
    return (
        Trouble(
            task=spec.task,
            contender=spec.contender,
            lr=spec.lr,
            seed=spec.seed,
            kind="missing" if record is None else record.status.value,
            error=None if record is None else record.error,
        ),
    )


def distinct(
    environments: Iterable[Mapping[str, str]],
) -> tuple[Mapping[str, str], ...]:
    """The different environments, in an order that depends on nothing but them."""
    return tuple(
        dict(items)
        for items in sorted({tuple(sorted(each.items())) for each in environments})
    )
