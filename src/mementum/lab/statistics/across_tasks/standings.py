"""All tasks together: profiles, normalised scores and ranks, with intervals.

What depends on who else competes (profiles, ranks) stands beside what does not (the
normalised score against frozen targets), and ranks are given again with each other
contender left out.

Tasks of one family, such as a task under two schedules, count as one task: each family
has the same weight, which its members share.

Intervals come from two bootstraps with one seeded generator. In the first the seeds of
each task are resampled, the same for all contenders, and the learning rates are chosen
anew in every resample: it speaks of these tasks. In the second the families are
resampled as well: it speaks of tasks like these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mementum.lab.statistics.across_tasks.bootstrap import (
    REPEATS,
    Array,
    Estimate,
    Places,
    Weights,
    estimate,
    families,
    kin,
    shares,
)
from mementum.lab.statistics.grid import DIGITS
from mementum.lab.statistics.target_times import median_of

if TYPE_CHECKING:
    from mementum.lab.statistics.task_result import Result, TaskResult

_LIMIT = 4.0
"""Profiles are followed up to this multiple of the fastest time."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one contender does over all tasks.

    `profile` gives the share of tasks solved within each ratio of `Across.ratios` to
    the fastest contender, and `area` its mean up to `_LIMIT`. `score` is the
    interquartile mean of normalised scores: 0 before training, 1 at the frozen best.
    """

    contender: str
    profile: tuple[float, ...]
    area: float | None
    score: Estimate | None
    rank: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Across:
    """What holds over all tasks that every contender has complete results on.

    `timed` have a target, and `scored` have frozen ends. `families` lists the families
    of more than one task. `without[a]` lists, for each contender left out in turn, the
    place of every other.
    """

    tasks: tuple[str, ...]
    timed: tuple[str, ...]
    scored: tuple[str, ...]
    families: tuple[tuple[str, ...], ...]
    ratios: tuple[float, ...]
    standings: tuple[Standing, ...]
    without: dict[str, dict[str, int]]


def summarise(
    tasks: Sequence[TaskResult], contenders: Sequence[str], alpha: float
) -> Across:
    """Put the tasks together on which every contender has all its results."""
    complete = [task for task in tasks if _is_complete(task, contenders)]
    timed = [task for task in complete if task.target is not None]
    times = np.array(
        [median_of([r.reach for r in _results_of(task, contenders)]) for task in timed]
    ).reshape(len(timed), len(contenders))
    ratios, profiles, areas = profile(times, shares(families(timed)))
    rng = np.random.default_rng(2021)
    drawn = [_resampled(task, contenders, rng) for task in complete]
    means = np.array([each.mean(axis=2) for each in drawn])
    scored, scores = _normalised(complete, drawn)
    ranks = _ranking(means) if complete else np.empty((0, len(contenders), 1))
    ranked, aimed = Weights.of(complete, rng), Weights.of(scored, rng)
    return Across(
        tasks=tuple(task.name for task in complete),
        timed=tuple(task.name for task in timed),
        scored=tuple(task.name for task in scored),
        families=tuple(kin(complete)),
        ratios=ratios,
        standings=tuple(
            Standing(
                contender=name,
                profile=tuple(profiles[i]) if timed else (),
                area=float(areas[i]) if timed else None,
                score=estimate([s[i] for s in scores], aimed, alpha, middle=True),
                rank=estimate(list(ranks[:, i, :, None]), ranked, alpha, middle=False),
            )
            for i, name in enumerate(contenders)
        ),
        without=left_out(means, contenders, ranked.these),
    )


def _results_of(task: TaskResult, contenders: Sequence[str]) -> list[Result]:
    """The results of these contenders, who all took part."""
    found = [task.result(name) for name in contenders]
    return [result for result in found if result is not None]


def _is_complete(task: TaskResult, contenders: Sequence[str]) -> bool:
    """Whether every contender has a result in every cell, and every seed a start."""
    results = _results_of(task, contenders)
    grids = [result.choice.grid for result in results]
    return (
        len(results) == len(contenders)
        and {*task.seeds} <= task.start.keys()
        and all(len(g.values) == len(g.lrs) * len(g.seeds) > 0 for g in grids)
    )


def _resampled(
    task: TaskResult, contenders: Sequence[str], rng: np.random.Generator
) -> Array:
    """Cross-fitted values [contender, repeat, seed]; repeat 0 is the data itself."""
    n = len(task.seeds)
    picks = rng.integers(n, size=(REPEATS, n))
    picks[0] = np.arange(n)
    counts = (picks[:, :, None] == np.arange(n)).sum(axis=1).astype(float)
    start = np.array([task.start[seed] for seed in task.seeds])
    found = []
    for result in _results_of(task, contenders):
        grid = result.choice.grid
        order = sorted(grid.lrs, key=lambda lr: abs(grid.lrs.index(lr) - grid.centre))
        table = np.array([[grid.values[lr, s] for s in task.seeds] for lr in order])
        found.append(cross_fitted(table, counts, picks, start))
    return np.array(found)


def cross_fitted(table: Array, counts: Array, picks: Places, start: Array) -> Array:
    """The value of each drawn seed at the setting that the other drawn seeds choose.

    `table` is [setting, seed], most preferred first. Copies of a seed are left out
    together; where nothing else was drawn, the seed chooses for itself. As in the data,
    fewer divergences come first, and means that differ by rounding alone tie.
    """
    finite = np.isfinite(table)
    known = np.where(finite, table, 0.0)
    alone = counts[:, None, :] == counts.shape[1]

    def of_others(part: Array) -> Array:
        total = np.einsum("bs,ls->bl", counts, part)[:, :, None]
        return np.where(alone, part, total - counts[:, None, :] * part)

    left = of_others(finite.astype(float))
    means = of_others(known) / np.maximum(left, 1)
    means[left < left.max(axis=1, keepdims=True)] = np.inf
    best = (means / (np.abs(known).max() or 1)).round(DIGITS).argmin(axis=1)
    values = np.where(finite, table, start)
    scored = values[best, np.arange(len(start))]
    return np.take_along_axis(scored, picks, axis=1)


def _normalised(
    tasks: Sequence[TaskResult], drawn: Sequence[Array]
) -> tuple[list[TaskResult], list[Array]]:
    """The tasks with frozen ends, and their values as scores from 0 to 1 and beyond."""
    found = []
    for task, values in zip(tasks, drawn, strict=True):
        if (ends := task.ends_on_scale) is not None:
            untrained, best = ends
            found.append((task, (untrained - values) / (untrained - best)))
    return [task for task, _ in found], [scores for _, scores in found]


def _ranking(means: Array) -> Array:
    """Ranks [task, contender, repeat] from means of the same shape; 1 is best."""
    found: Array = stats.rankdata(means, axis=1)
    return found


def left_out(
    means: Array, contenders: Sequence[str], weights: Array
) -> dict[str, dict[str, int]]:
    """Places by weighted mean rank with each contender left out in turn."""
    found: dict[str, dict[str, int]] = {}
    for i, name in enumerate(contenders):
        rest = [j for j in range(len(contenders)) if j != i]
        if not len(means) or not rest:
            continue
        ranks = weights @ _ranking(means[:, rest, :1])[:, :, 0]
        # Sums of the same ranks in another order are the same to rounding.
        places = stats.rankdata(ranks.round(9), method="min")
        found[name] = {
            contenders[j]: int(place) for j, place in zip(rest, places, strict=True)
        }
    return found


def profile(times: Array, weights: Array) -> tuple[tuple[float, ...], Array, Array]:
    """The performance profile of times [task, contender], and its mean up to `_LIMIT`.

    The share of tasks, by weight, that a contender solves within a ratio of the fastest
    time; an infinite time is never within. The area is the integral over [1, LIMIT],
    divided by the length of that range.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        fastest = times.min(axis=1, keepdims=True) if times.size else times
        # A task solved at step 0 by the fastest is solved by a ratio of 1 or never.
        ratio = np.where(times == fastest, 1.0, times / np.maximum(fastest, 1e-300))
    ratio = np.where(np.isfinite(times), ratio, np.inf)
    inner = ratio[np.isfinite(ratio) & (ratio <= _LIMIT)]
    points = np.unique(np.concatenate([[1.0, _LIMIT], inner]))
    if not len(times):
        return tuple(points), np.empty((0, 0)), np.empty(0)
    solved = np.tensordot(weights, ratio[:, :, None] <= points, axes=1)
    areas = (solved[:, :-1] * np.diff(points)).sum(axis=1) / (_LIMIT - 1)
    return tuple(float(p) for p in points), solved, areas
