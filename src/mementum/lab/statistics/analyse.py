"""From the records of a plan to an analysis."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from mementum.lab.run import RunRecord, RunSpec, Status
from mementum.lab.statistics.analysis import (
    Analysis,
    Arm,
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
from mementum.lab.statistics.survival import Reach, first_crossing

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
    trials = list(plan.trials)
    varied = {spec.run_id for spec in trials}
    on_grid = [spec for spec in specs if spec.run_id not in varied]
    published = [spec for spec in on_grid if spec.lr == centre(plan, spec, on_grid)]
    tuned = {(spec.task, spec.contender) for spec in trials}
    full = [
        *(spec for spec in published if (spec.task, spec.contender) in tuned),
        *trials,
    ]
    arms = {"default": published, "full": full if trials else []}
    return Analysis(
        reference=plan.reference,
        contenders=tuple(dict.fromkeys(spec.contender for spec in specs)),
        tasks=of_arm("lr", on_grid, found, plan),
        arms=tuple(
            Arm(name=name, tasks=of_arm(name, own, found, plan))
            for name, own in arms.items()
            if own
        ),
        troubles=tuple(trouble for spec in specs for trouble in of_run(spec, found)),
        alpha=ALPHA,
        power=POWER,
        runs_planned=len(planned),
        runs_done=len(done),
        versions=specs[0].versions if specs else {},
        environments=distinct(r.environment for r in found.values()),
        seconds=math.fsum(r.seconds for r in found.values()),
    )


def centre(plan: PlanFacts, spec: RunSpec, specs: Sequence[RunSpec]) -> float:
    """The published learning rate of a run's contender: the middle of an old grid."""
    if spec.contender in plan.centres:
        return plan.centres[spec.contender]
    own = (spec.task, spec.contender)
    lrs = sorted({each.lr for each in specs if (each.task, each.contender) == own})
    return lrs[len(lrs) // 2]


def of_arm(
    arm: str, specs: Sequence[RunSpec], found: Records, plan: PlanFacts
) -> tuple[TaskResult, ...]:
    """Every task, with what one way of tuning may choose from."""
    return tuple(
        of_task(
            task,
            [spec for spec in specs if spec.task == task.name],
            found,
            plan,
            gridded=arm == "lr",
        )
        for task in plan.tasks
    )


def of_task(
    task: TaskFacts,
    specs: Sequence[RunSpec],
    found: Records,
    plan: PlanFacts,
    *,
    gridded: bool,
) -> TaskResult:
    """Choose, compare and summarise on one task."""
    by_contender: dict[str, list[RunSpec]] = {}
    for spec in specs:
        by_contender.setdefault(spec.contender, []).append(spec)
    choices = {
        name: choose(
            name,
            grid(own, found, task.scale, plan.centres.get(name)),
            gridded=gridded,
        )
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
            of_contender(by_contender[name], choice, by_name.get(name), found, task)
            for name, choice in choices.items()
        ),
        target=task.target,
        start=starts(specs, found, task.scale),
    )


def starts(specs: Sequence[RunSpec], found: Records, scale: str) -> Mapping[int, float]:
    """The score before training on the scale, by seed; the same for all contenders."""
    values: dict[int, float] = {}
    for spec in specs:
        record = found.get(spec.run_id)
        if spec.seed in values or record is None or record.curve.steps[:1] != (0,):
            continue
        first = record.curve.validation[0]
        if math.isfinite(first):
            values[spec.seed] = on_scale(first, scale)
    return dict(sorted(values.items()))


def grid(
    specs: Sequence[RunSpec], found: Records, scale: str, default: float | None
) -> Grid:
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
        default=default,
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
    task: TaskFacts,
) -> Result:
    """Put together what there is to say of one contender on one task."""
    scale = task.scale
    scored = scored_records(specs, choice, found)
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
        reach=None if task.target is None else reach(scored, task.target, task.steps),
        spikes=spikes(scored),
    )


def scored_records(
    specs: Sequence[RunSpec], choice: Choice, found: Records
) -> list[RunRecord]:
    """The runs that a contender is scored by, in the order of the seeds."""
    by_key = {(s.lr, s.seed): found[s.run_id] for s in specs if s.run_id in found}
    keys = [(scored.lr, scored.seed) for scored in choice.scored if scored.lr]
    kept = [by_key[key] for key in keys if key in by_key]
    return [record for record in kept if record.status is not Status.FAILED]


def reach(records: Sequence[RunRecord], target: float, budget: int) -> Reach:
    """When the scored runs first reached the target."""
    times = tuple(first_crossing(record.curve, target) for record in records)
    seeds = tuple(record.spec.seed for record in records)
    return Reach(budget=budget, seeds=seeds, times=times)


def spikes(records: Sequence[RunRecord]) -> float | None:
    """How often, per run, the training objective rose to 1.5 times its minimum."""
    if not records:
        return None
    counts = []
    for record in records:
        lowest, high, count = math.inf, False, 0
        for value in record.curve.train:
            count += not high and value > 1.5 * lowest > 0
            high = value > 1.5 * lowest > 0
            lowest = min(lowest, value)
        counts.append(count)
    return sum(counts) / len(counts)


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
