"""The learning rate a contender is judged at, chosen without the judged seed.

Choosing a learning rate and reporting its score on the same seeds is optimistic: the
minimum of noisy means is lower than the mean of any of them. Here the rate for seed s
is the one with the lowest mean score over the *other* seeds, and seed s is then scored
at that rate (cross-fitting). Every run serves both ends, and none serves both at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.records.scale import on_scale
from mementum.lab.statistics.grid import Grid


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One seed, scored at the learning rate that the other seeds chose.

    `value` is on the task's scale, `inf` where the run diverged, None without a result.
    """

    seed: int
    lr: float | None
    value: float | None

    @property
    def diverged(self) -> bool:
        """Whether the scored run diverged."""
        return self.value == math.inf


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The learning rates chosen for one contender on one task, and what they scored.

    `in_sample` says that the rate was chosen on the seed it is scored on, which happens
    only where there is no other seed. It does no harm on a deterministic task.
    """

    contender: str
    grid: Grid
    scored: tuple[Scored, ...]
    in_sample: bool
    gridded: bool = True
    """Whether the rates are neighbours on a grid, which has ends."""
    hopeless: bool = False
    """Whether its pilot is over without any result."""
    pilot: Grid | None = None
    """The scores that chose the rate where other seeds judge it; `grid` has then the
    chosen rate alone."""

    @property
    def tried(self) -> Grid:
        """The scores at all rates that it was chosen from."""
        return self.grid if self.pilot is None else self.pilot

    @property
    def lrs(self) -> tuple[float, ...]:
        """The distinct rates chosen, ascending."""
        return tuple(sorted({s.lr for s in self.scored if s.lr is not None}))

    @property
    def edge(self) -> bool:
        """Whether a chosen rate is an end of the grid: the best may lie outside."""
        return any(self.edges)

    @property
    def edges(self) -> tuple[bool, bool]:
        """Whether the lowest and the highest rate of the grid are among the chosen."""
        tried = self.tried.lrs
        if not self.gridded or len(tried) < 2:
            return (False, False)
        return (tried[0] in self.lrs, tried[-1] in self.lrs)

    @property
    def usable(self) -> bool:
        """Whether any seed has a result, a divergence included."""
        return any(scored.value is not None for scored in self.scored)

    @property
    def diverged(self) -> int:
        """How many of the scored runs diverged."""
        return sum(scored.diverged for scored in self.scored)

    @property
    def mean(self) -> float | None:
        """Mean of the finite scores on the task's scale; None if there is none."""
        values = [
            s.value for s in self.scored if s.value is not None and not s.diverged
        ]
        return math.fsum(values) / len(values) if values else None


def choose(contender: str, grid: Grid, *, gridded: bool = True) -> Choice:
    """Score every seed at the learning rate chosen on the other seeds.

    With a single seed there is no other, and the rate is chosen on the seed itself.
    """
    alone = len(grid.seeds) == 1

    def score(seed: int) -> Scored:
        lr = grid.best([s for s in grid.seeds if alone or s != seed])
        value = None if lr is None else grid.values.get((lr, seed))
        return Scored(seed=seed, lr=lr, value=value)

    scored = tuple(score(seed) for seed in grid.seeds)
    return Choice(
        contender=contender,
        grid=grid,
        scored=scored,
        in_sample=alone,
        gridded=gridded,
    )


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
            values[spec.seed] = on_scale(first, scale, _where(spec, "before training"))
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
        if (value := _outcome(found.get(spec.run_id), scale)) is not None
    }
    return Grid(
        lrs=tuple(sorted({spec.lr for spec in specs})),
        seeds=tuple(sorted({spec.seed for spec in specs})),
        values=values,
        default=default,
    )


def _outcome(record: RunRecord | None, scale: str) -> float | None:
    """A run's value on the scale: inf if it diverged, None without a result."""
    if record is None or record.status is Status.FAILED:
        return None
    if record.status is Status.DIVERGED or record.score is None:
        return math.inf
    return on_scale(
        record.score, scale, _where(record.spec, f"at lr {record.spec.lr:g}")
    )


def _where(spec: RunSpec, when: str) -> str:
    """Where a score was had."""
    return f" of {spec.contender_label} on {spec.task_label} {when}, seed {spec.seed},"


def empty_choice(contender: str) -> Choice:
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
