"""The pilot: all rates with few seeds, the best of them with more.

Successive halving over rates. Its seeds choose and judge nothing: given the rates that
it chose, differences on fresh seeds are independent, and their t intervals are exact.
The price is regret: the chosen rate need not be the best one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import combinations
from typing import NamedTuple

from scipy import stats

from mementum.lab.records.plan import Design, Outline
from mementum.lab.records.run import RunSpec
from mementum.lab.statistics.choice import Choice, Records, Scored, grid
from mementum.lab.statistics.grid import Grid

_Key = tuple[float, int]


class Standing(NamedTuple):
    """How far the pilot of a contender on a task has come."""

    going: tuple[float, ...]
    """The rates that are still in it, ascending."""
    needed: tuple[_Key, ...]
    """The rates and seeds that the present rung still needs."""
    chosen: float | None
    """The rate that judges; None as long as runs are needed, or where all failed."""


def follow(design: Design, tried: Grid, over: Collection[_Key]) -> Standing:
    """Return how far a pilot is, where these rates and seeds have a record.

    `tried` holds the scores of the pilot's seeds at all of its rates. A single rate
    needs no pilot.
    """
    if len(tried.lrs) == 1:
        return Standing(tried.lrs, (), tried.lrs[0])
    going, first = tried.lrs, 0
    for keep, seeds in design.pilot:
        if keep:
            ranked = sorted(going, key=lambda lr: _rank(tried, lr, range(first)))
            going = tuple(sorted(ranked[:keep]))
        rung = range(first, first + seeds)
        wanted = [(lr, seed) for lr in going for seed in rung]
        if needed := tuple(key for key in wanted if key not in over):
            return Standing(going, needed, None)
        first += seeds
    best = min(going, key=lambda lr: _rank(tried, lr, range(first)))
    return Standing(going, (), best if _any_result(tried, best) else None)


def _rank(tried: Grid, lr: float, seeds: range) -> tuple[float, ...]:
    """Return what is the lower the better a rate is: one without a result is last."""
    lacking = sum((lr, seed) not in tried.values for seed in seeds)
    return (lacking, *tried.preference(lr, seeds))


def judged(
    name: str,
    specs: Sequence[RunSpec],
    found: Records,
    task: Outline,
    design: Design,
    *,
    default: float | None,
    gridded: bool,
) -> Choice:
    """Return the choice of a contender on a task: scored at the rate its pilot chose.

    It has a score for each fresh seed whose run has a record.
    """
    tried, over = _of_pilot(specs, found, task, design, default)
    standing = follow(design, tried, over)
    lr = standing.chosen
    fresh = [s for s in specs if s.seed >= design.first and s.lr == lr]
    at_rate = grid(fresh, found, task.scale, default)
    return Choice(
        contender=name,
        grid=at_rate,
        scored=tuple(
            Scored(seed=s.seed, lr=lr, value=at_rate.values.get((s.lr, s.seed)))
            for s in sorted(fresh, key=lambda s: s.seed)
            if s.run_id in found
        ),
        in_sample=False,
        gridded=gridded,
        hopeless=lr is None and not standing.needed,
        pilot=tried,
    )


def standing(
    specs: Sequence[RunSpec],
    found: Records,
    task: Outline,
    design: Design,
    default: float | None,
) -> Standing:
    """Return how far the pilot of a contender on a task has come."""
    return follow(design, *_of_pilot(specs, found, task, design, default))


def _of_pilot(
    specs: Sequence[RunSpec],
    found: Records,
    task: Outline,
    design: Design,
    default: float | None,
) -> tuple[Grid, set[_Key]]:
    """Return the scores of the pilot's runs, and which of them have a record."""
    own = [s for s in specs if s.seed < design.first] or specs
    over = {(s.lr, s.seed) for s in own if s.run_id in found}
    return grid(own, found, task.scale, default), over


def _any_result(tried: Grid, lr: float) -> bool:
    return any((lr, seed) in tried.values for seed in tried.seeds)


def at_end(tried: Grid, seeds: Sequence[int]) -> tuple[bool, bool]:
    """Return whether the best rate on these seeds is the lowest, or the highest."""
    if len(tried.lrs) < 2 or (best := tried.best(seeds)) is None:
        return False, False
    return best == tried.lrs[0], best == tried.lrs[-1]


def regret(design: Design, tried: Grid, chosen: float) -> float | None:
    """Return how much worse than the best rate the chosen one is to be expected.

    On the task's scale: the sum over all other rates of E[(-d)+], with d the rate's
    true difference from the chosen one, taken as normal around the mean difference on
    their common seeds. Its error comes from the differences of all pairs of rates that
    have two seeds in common; None where there is no such pair.
    """
    seeds = {
        lr: [s for s in range(design.first) if math.isfinite(_value(tried, lr, s))]
        for lr in tried.lrs
    }
    squares, degrees = 0.0, 0
    for one, two in combinations(tried.lrs, 2):
        differences = _differences(tried, one, two, seeds)
        if len(differences) > 1:
            mean = math.fsum(differences) / len(differences)
            squares += math.fsum((d - mean) ** 2 for d in differences)
            degrees += len(differences) - 1
    if not degrees:
        return None
    total = 0.0
    for lr in tried.lrs:
        differences = [] if lr == chosen else _differences(tried, lr, chosen, seeds)
        if differences:
            mean = math.fsum(differences) / len(differences)
            total += _excess(mean, math.sqrt(squares / degrees / len(differences)))
    return total


def _value(tried: Grid, lr: float, seed: int) -> float:
    return tried.values.get((lr, seed), math.nan)


def _differences(
    tried: Grid, one: float, two: float, seeds: dict[float, list[int]]
) -> list[float]:
    """Return the differences of two rates on the seeds that both have."""
    common = [seed for seed in seeds[one] if seed in seeds[two]]
    return [tried.values[one, seed] - tried.values[two, seed] for seed in common]


def _excess(mean: float, error: float) -> float:
    """Return E[(-d)+] of a normal d."""
    if error == 0:
        return max(0.0, -mean)
    z = mean / error
    return error * float(stats.norm.pdf(z)) - mean * float(stats.norm.sf(z))
