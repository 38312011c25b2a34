"""What a check reads of an arm's runs: one value for each seed, lower is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from mementum.lab.claims.claim import Check
from mementum.lab.claims.plan import Settled
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.records.scale import on_scale
from mementum.lab.statistics import Grid, choose

_Values: TypeAlias = dict[tuple[float, int], float]
"""By learning rate and seed."""
_WORST_RISE = 10.0
"""The rise that a diverged run counts as, in nats."""


@dataclass(frozen=True)
class Reading:
    """An arm's values on the check's scale, by seed, and the rates they come from."""

    values: Mapping[int, float]
    """`inf` where the run diverged; absent without a result."""
    rates: tuple[float, ...]
    by_rate: Mapping[float, tuple[float, ...]]
    """All finite values at every rate, whichever is chosen."""
    edge: bool
    """Whether a chosen rate is an end of several."""

    @property
    def mean(self) -> float | None:
        """Return the mean of the finite values."""
        finite = [value for value in self.values.values() if math.isfinite(value)]
        return math.fsum(finite) / len(finite) if finite else None


def _of_run(record: RunRecord, value: str, at: float, scale: str) -> float:
    """Return what a run says; `inf` if it diverged."""
    if record.status is Status.DIVERGED:
        return _WORST_RISE if value == "rise" else math.inf
    curve = record.curve
    if value == "rise":
        return min(_WORST_RISE, _largest_rise(curve.train[len(curve.train) // 4 :]))
    last = max(i for i, step in enumerate(curve.steps) if step <= at * curve.steps[-1])
    found = (curve.train if value == "train" else curve.validation)[last]
    return on_scale(found, scale) if math.isfinite(found) else math.inf


def _largest_rise(losses: Sequence[float]) -> float:
    """Return the largest rise of the logarithm from one loss to the next, or 0."""
    logs = [on_scale(loss, "log") for loss in losses]
    return max([0.0, *(b - a for a, b in pairwise(logs))])


def read(check: Check, settled: Settled, found: Mapping[str, RunRecord]) -> Reading:
    """Return what the check reads of an arm in the records, given by run."""
    records = {
        (spec.lr, spec.seed): found[spec.run_id]
        for spec in settled.specs()
        if spec.run_id in found and found[spec.run_id].status is not Status.FAILED
    }

    def values(read_one: Callable[[RunRecord], float]) -> _Values:
        return {key: read_one(record) for key, record in records.items()}

    own = values(lambda r: _of_run(r, check.value, check.at, check.scale))
    by_rate = {
        lr: tuple(v for (rate, _), v in own.items() if rate == lr and v < math.inf)
        for lr in settled.arm.lrs
    }
    if check.rates == "mean":
        return Reading(_means(settled, own), settled.arm.lrs, by_rate, edge=False)
    judged = own
    if check.chosen is not None:
        chosen = check.chosen
        judged = values(lambda r: _of_run(r, chosen, 1.0, check.scale))
    choice = choose(settled.setting.label, Grid(settled.arm.lrs, settled.seeds, judged))
    kept = {
        scored.seed: own[scored.lr, scored.seed]
        for scored in choice.scored
        if scored.lr is not None and (scored.lr, scored.seed) in own
    }
    return Reading(kept, choice.lrs, by_rate, choice.edge)


def _means(
    settled: Settled, values: Mapping[tuple[float, int], float]
) -> dict[int, float]:
    """Return every seed's mean over all rates, where none is missing."""
    lrs = settled.arm.lrs
    return {
        seed: math.fsum(values[lr, seed] for lr in lrs) / len(lrs)
        for seed in settled.seeds
        if all((lr, seed) in values for lr in lrs)
    }
