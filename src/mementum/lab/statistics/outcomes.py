"""What the records hold: values on the scale by learning rate and seed."""

import math
from collections.abc import Mapping, Sequence

from mementum.lab.run import RunRecord, RunSpec, Status
from mementum.lab.statistics.choice import Choice, Grid, on_scale

Records = Mapping[str, RunRecord]


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


def parameters(specs: Sequence[RunSpec], found: Records) -> int | None:
    """How many scalars are trained; None without a record."""
    counts = (found[s.run_id].parameters for s in specs if s.run_id in found)
    return next(counts, None)


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


def scored_records(
    specs: Sequence[RunSpec], choice: Choice, found: Records
) -> list[RunRecord]:
    """The runs that a contender is scored by, in the order of the seeds."""
    by_key = {(s.lr, s.seed): found[s.run_id] for s in specs if s.run_id in found}
    keys = [(scored.lr, scored.seed) for scored in choice.scored if scored.lr]
    kept = [by_key[key] for key in keys if key in by_key]
    return [record for record in kept if record.status is not Status.FAILED]
