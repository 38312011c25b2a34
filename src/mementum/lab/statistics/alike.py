"""What curves say of the task itself: that no chance is in it, or a wrong goal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mementum.lab.records.plan import Outline
from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.statistics.choice import Records


def common_seed(specs: Sequence[RunSpec], found: Records) -> int | None:
    """The seed that stands for all; None where seeds differ, or nothing is known.

    It is found in the records: every setting gave the same curves with all its seeds,
    to the last bit.
    """
    curves: dict[str, set[str]] = {}
    counts: dict[int, int] = {}
    for spec in specs:
        record = found.get(spec.run_id)
        if record is None or record.status is Status.FAILED:
            continue
        setting = repr((spec.contender_label, spec.lr, sorted(spec.options.items())))
        curves.setdefault(setting, set()).add(f"{record.status} {record.curve}")
        counts[spec.seed] = counts.get(spec.seed, 0) + 1
    over = [found[spec.run_id] for spec in specs if spec.run_id in found]
    if all(record.status is not Status.FINISHED for record in over):
        return None
    if len(counts) < 2 or any(len(each) > 1 for each in curves.values()):
        return None
    if len(curves) == sum(counts.values()):
        return None
    return min(counts, key=lambda seed: (-counts[seed], seed))


def question(specs: Sequence[RunSpec], found: Records, task: Outline) -> str:
    """A sentence where the metric looks as if it were to be high; else empty.

    In most runs whose loss fell, the metric was lowest before training.
    """
    records = [found[spec.run_id] for spec in specs if spec.run_id in found]
    learned = [record for record in records if _learned(record)]
    rising = sum(_rose(record) for record in learned)
    if not learned or 2 * rising <= len(learned):
        return ""
    return (
        f"Is {task.metric} to be high? It rises while the loss falls, and lower counts "
        'as better here; goal = "max" turns it.'
    )


def _learned(record: RunRecord) -> bool:
    """Whether the loss of a finished run fell."""
    train = record.curve.train
    return record.status is Status.FINISHED and len(train) > 1 and train[-1] < train[0]


def _rose(record: RunRecord) -> bool:
    """Whether the metric was lowest before training, and ended above it."""
    first, *others = (v for v in record.curve.validation if math.isfinite(v))
    return bool(others) and first <= min(others) and first < others[-1]
