"""Learning curves over seeds: median and range, at the chosen learning rates."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mementum.lab.records.run import RunRecord, Status
from mementum.lab.statistics import TaskResult

Quantity = Literal["train", "validation"]


@dataclass(frozen=True, kw_only=True)
class Band:
    """Median, minimum and maximum over the finished seeds, step by step."""

    contender: str
    steps: tuple[int, ...]
    median: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    seeds: int


def bands(
    task: TaskResult, records: Iterable[RunRecord], quantity: Quantity
) -> list[Band]:
    """One band for every contender with a finished run among the scored ones.

    Each seed runs at the learning rate the other seeds chose for it, so the last point
    of a band shows the very scores that the verdicts compare.
    """
    runs = {
        (r.spec.contender_label, r.spec.lr, r.spec.seed): r
        for r in records
        if r.spec.task_label == task.name and r.status is Status.FINISHED
    }
    found = []
    for result in task.results:
        keys = [(result.contender, s.lr, s.seed) for s in result.choice.scored]
        own = [runs[key] for key in keys if key in runs]
        if own:
            found.append(band(result.contender, own, quantity))
    return found


def band(contender: str, runs: Sequence[RunRecord], quantity: Quantity) -> Band:
    """The band of these runs, which share their evaluation grid."""
    curves = [getattr(run.curve, quantity) for run in runs]
    points = [
        [value for value in values if math.isfinite(value)]
        for values in zip(*curves, strict=True)
    ]
    kept = [(s, p) for s, p in zip(runs[0].curve.steps, points, strict=True) if p]
    return Band(
        contender=contender,
        steps=tuple(step for step, _ in kept),
        median=tuple(statistics.median(p) for _, p in kept),
        low=tuple(min(p) for _, p in kept),
        high=tuple(max(p) for _, p in kept),
        seeds=len(runs),
    )
