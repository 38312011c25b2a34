"""What tuning buys: the expected score after k settings, from the runs at hand.

For the scored seed s the settings are ranked on the other seeds. Of k settings drawn
without replacement from n, the one of rank i (from 1, best) is chosen with probability

    C(n - i, k - 1) / C(n, k)

so the expected score of seed s is a weighted mean of its own scores, and no seed
chooses the setting it is scored at. At k = n this is the score that verdicts compare.
A diverged run counts as one that has learned nothing: as the score before step one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mementum.lab.statistics.grid import Grid


def weights(n: int, k: int) -> list[float]:
    """The chance that the setting of each rank is chosen among k of n."""
    return [math.comb(n - i, k - 1) / math.comb(n, k) for i in range(1, n + 1)]


def ranked(grid: Grid, seeds: Sequence[int]) -> list[float]:
    """The settings with the best on these seeds first."""
    return sorted(grid.lrs, key=lambda lr: grid.preference(lr, seeds))


def curve(grid: Grid, start: Mapping[int, float]) -> tuple[float, ...]:
    """The expected value on the task's scale after 1, 2, ... settings.

    Empty where a result is missing, as settings cannot then be ranked alike. `start`
    is the value before training, by seed.
    """
    whole = all((lr, seed) in grid.values for lr in grid.lrs for seed in grid.seeds)
    if not (grid.lrs and grid.seeds and whole and {*grid.seeds} <= start.keys()):
        return ()
    found = []
    for seed in grid.seeds:
        others = [s for s in grid.seeds if s != seed] or [seed]
        own = [grid.values[lr, seed] for lr in ranked(grid, others)]
        found.append([v if math.isfinite(v) else start[seed] for v in own])
    n = len(grid.lrs)
    return tuple(
        math.fsum(
            weight * value
            for own in found
            for weight, value in zip(weights(n, k), own, strict=True)
        )
        / len(found)
        for k in range(1, n + 1)
    )
