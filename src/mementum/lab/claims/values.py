"""What a check reads of an arm's runs: one value for each seed, lower is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from mementum.lab.claims.claim import Check
from mementum.lab.claims.settled import Settled
from mementum.lab.records.run import RunRecord, RunSpec, Status
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
    records = _ended(settled.specs(), found)
    own = _values(records, check)
    by_rate = {
        lr: tuple(v for (rate, _), v in own.items() if rate == lr and v < math.inf)
        for lr in settled.arm.lrs
    }
    if check.rates == "mean":
        return Reading(_means(settled, own), settled.arm.lrs, by_rate, edge=False)
    if settled.pilot:
        return _piloted(check, settled, found, by_rate)
    judged = own
    if check.chosen is not None:
        judged = _values(records, check, chosen=check.chosen)
    choice = choose(settled.setting.label, Grid(settled.arm.lrs, settled.seeds, judged))
    kept = {
        scored.seed: own[scored.lr, scored.seed]
        for scored in choice.scored
        if scored.lr is not None and (scored.lr, scored.seed) in own
    }
    return Reading(kept, choice.lrs, by_rate, choice.edge)


def runs(
    check: Check, settled: Settled, found: Mapping[str, RunRecord]
) -> Iterator[RunSpec]:
    """Return the runs that an arm needs, as far as those that are over tell it."""
    yield from settled.specs()
    if settled.pilot and (lr := _chosen(check, settled, found)) is not None:
        yield from settled.at((lr,), settled.seeds)


def _chosen(
    check: Check, settled: Settled, found: Mapping[str, RunRecord]
) -> float | None:
    """Return the rate that the pilot chose; None until all of its runs are over."""
    records = _ended(settled.specs(), found)
    if len(records) < len(settled.arm.lrs) * len(settled.pilot):
        return None
    values = _values(records, check, chosen=check.chosen or "validation")
    return Grid(settled.arm.lrs, settled.pilot, values).best(settled.pilot)


def _piloted(
    check: Check,
    settled: Settled,
    found: Mapping[str, RunRecord],
    by_rate: Mapping[float, tuple[float, ...]],
) -> Reading:
    """Return what fresh seeds say at the rate that the pilot chose."""
    lr = _chosen(check, settled, found)
    if lr is None:
        return Reading({}, (), by_rate, edge=False)
    own = _values(_ended(settled.at((lr,), settled.seeds), found), check)
    lrs = settled.arm.lrs
    kept = {seed: value for (_, seed), value in own.items()}
    return Reading(kept, (lr,), by_rate, edge=lr in (lrs[0], lrs[-1]))


def _ended(
    specs: Iterable[RunSpec], found: Mapping[str, RunRecord]
) -> dict[tuple[float, int], RunRecord]:
    """Return the records of the runs that are over, by rate and seed."""
    return {
        (spec.lr, spec.seed): found[spec.run_id]
        for spec in specs
        if spec.run_id in found and found[spec.run_id].status is not Status.FAILED
    }


def _values(
    records: Mapping[tuple[float, int], RunRecord],
    check: Check,
    *,
    chosen: str | None = None,
) -> _Values:
    """Return what the check reads of these runs, or what a rate is chosen for."""
    value, at = (check.value, check.at) if chosen is None else (chosen, 1.0)
    return {
        key: _of_run(record, value, at, check.scale) for key, record in records.items()
    }


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
