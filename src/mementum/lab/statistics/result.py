"""What there is to say of one contender on one task, beside its verdict."""

import math
import statistics
from collections.abc import Iterable, Sequence

from mementum.lab.run import RunRecord, RunSpec, Status
from mementum.lab.statistics.analysis import Result, Sensitivity
from mementum.lab.statistics.choice import Choice, Grid
from mementum.lab.statistics.contrast import Contrast, Verdict
from mementum.lab.statistics.facts import TaskFacts
from mementum.lab.statistics.outcomes import Records, scored_records
from mementum.lab.statistics.plain import shown_score
from mementum.lab.statistics.remarks import of_choice
from mementum.lab.statistics.survival import Reach, first_crossing


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
