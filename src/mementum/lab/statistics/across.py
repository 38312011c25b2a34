"""All tasks together: profiles, normalised scores and ranks, with intervals.

What depends on who else competes (profiles, ranks) stands beside what does not (the
normalised score against frozen targets), and ranks are given again with each other
contender left out.

Intervals come from two bootstraps with one seeded generator. In the first the seeds of
each task are resampled, the same for all contenders, and the learning rates are chosen
anew in every resample: it speaks of these tasks. In the second the tasks are resampled
as well: it speaks of tasks like these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import stats

from mementum.lab.statistics.pairs import Interval
from mementum.lab.statistics.survival import median_of

if TYPE_CHECKING:
    from mementum.lab.statistics.analysis import Result, TaskResult

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
REPEATS = 10_000
LIMIT = 4.0
"""Profiles are followed up to this multiple of the fastest time."""
DIVERGED = 1e9
"""What a divergence adds to a mean that chooses: more than any score."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its two intervals: for these tasks, and for tasks like these."""

    value: float
    these: Interval | None
    like_these: Interval | None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one contender does over all tasks.

    `profile` gives the share of tasks solved within each ratio of `Across.ratios` to
    the fastest contender, and `area` its mean up to `LIMIT`. `score` is the
    interquartile mean of normalised scores: 0 at the start, 1 at the target.
    """

    contender: str
    profile: tuple[float, ...]
    area: float | None
    score: Estimate | None
    rank: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Across:
    """What holds over all tasks that every contender has complete results on.

    `without[a]` lists, for each contender left out in turn, the place of every other.
    """

    tasks: tuple[str, ...]
    timed: tuple[str, ...]
    ratios: tuple[float, ...]
    standings: tuple[Standing, ...]
    without: dict[str, dict[str, int]]


def summarise(
    tasks: "Sequence[TaskResult]", contenders: Sequence[str], alpha: float
) -> Across:
    """Put the tasks together on which every contender has all its results."""
    complete = [task for task in tasks if is_complete(task, contenders)]
    timed = [task for task in complete if task.target is not None]
    times = np.array(
        [median_of([r.reach for r in results_of(task, contenders)]) for task in timed]
    ).reshape(len(timed), len(contenders))
    ratios, profiles, areas = profile(times)
    rng = np.random.default_rng(2021)
    drawn = [resampled(task, contenders, rng) for task in complete]
    means = np.array([each.mean(axis=2) for each in drawn])
    scores = normalised(complete, drawn)
    draws = rng.integers(len(complete) or 1, size=(REPEATS, len(complete)))
    aimed = rng.integers(len(scores) or 1, size=(REPEATS, len(scores)))
    ranks = ranking(means) if complete else np.empty((0, len(contenders), 1))
    return Across(
        tasks=tuple(task.name for task in complete),
        timed=tuple(task.name for task in timed),
        ratios=ratios,
        standings=tuple(
            Standing(
                contender=name,
                profile=tuple(profiles[i]) if timed else (),
                area=float(areas[i]) if timed else None,
                score=estimate([s[i] for s in scores], aimed, alpha, middle=True)
                if scores
                else None,
                rank=estimate(list(ranks[:, i, :, None]), draws, alpha, middle=False)
                if complete
                else None,
            )
            for i, name in enumerate(contenders)
        ),
        without=left_out(means, contenders),
    )


def results_of(task: "TaskResult", contenders: Sequence[str]) -> "list[Result]":
    """The results of these contenders, who all took part."""
    found = [task.result(name) for name in contenders]
    return [result for result in found if result is not None]


def is_complete(task: "TaskResult", contenders: Sequence[str]) -> bool:
    """Whether every contender has a result in every cell, and every seed a start."""
    results = results_of(task, contenders)
    grids = [result.choice.grid for result in results]
    return (
        len(results) == len(contenders)
        and {*task.seeds} <= task.start.keys()
        and all(len(g.values) == len(g.lrs) * len(g.seeds) > 0 for g in grids)
    )


def resampled(
    task: "TaskResult", contenders: Sequence[str], rng: np.random.Generator
) -> Array:
    """Cross-fitted values [contender, repeat, seed]; repeat 0 is the data itself."""
    n = len(task.seeds)
    picks = rng.integers(n, size=(REPEATS, n))
    picks[0] = np.arange(n)
    counts = (picks[:, :, None] == np.arange(n)).sum(axis=1).astype(float)
    start = np.array([task.start[seed] for seed in task.seeds])
    found = []
    for result in results_of(task, contenders):
        grid = result.choice.grid
        order = sorted(grid.lrs, key=lambda lr: abs(grid.lrs.index(lr) - grid.centre))
        table = np.array([[grid.values[lr, s] for s in task.seeds] for lr in order])
        found.append(cross_fitted(table, counts, picks, start))
    return np.array(found)


def cross_fitted(table: Array, counts: Array, picks: Places, start: Array) -> Array:
    """The value of each drawn seed at the setting that the other drawn seeds choose.

    `table` is [setting, seed], most preferred first. Copies of a seed are left out
    together; where nothing else was drawn, the seed chooses for itself.
    """
    judged = np.where(np.isfinite(table), table, DIVERGED)
    total = np.einsum("bs,ls->bl", counts, judged)[:, :, None]
    rest = counts.shape[1] - counts[:, None, :]
    alone = rest == 0
    others = (total - counts[:, None, :] * judged) / np.where(alone, 1, rest)
    best = np.where(alone, judged, others).argmin(axis=1)
    values = np.where(np.isfinite(table), table, start)
    scored = values[best, np.arange(len(start))]
    return np.take_along_axis(scored, picks, axis=1)


def normalised(tasks: "Sequence[TaskResult]", drawn: Sequence[Array]) -> list[Array]:
    """Scores that are 0 at the start and 1 at the target, where targets are frozen."""
    found = []
    for task, values in zip(tasks, drawn, strict=True):
        start = math.fsum(task.start.values()) / len(task.start)
        goal = task.target_on_scale
        if goal is not None and start > goal:
            found.append((start - values) / (start - goal))
    return found


def estimate(
    parts: Sequence[Array], draws: Places, alpha: float, *, middle: bool
) -> Estimate:
    """The mean over tasks of [repeat, seed] parts, or the mean of the middle half.

    Every task has the same weight, whatever its number of seeds.
    """
    width = max(part.shape[1] for part in parts)
    tiled = np.stack([np.resize(part.T, (width, part.shape[0])) for part in parts])
    repeats = tiled.shape[2]

    def over(values: Array) -> Array:
        flat = values.reshape(repeats, -1)
        return middle_mean(flat) if middle else flat.mean(axis=1)

    these = over(np.moveaxis(tiled, 2, 0))
    if len(parts) < 2:
        return Estimate(
            value=float(these[0]), these=percentile(these, alpha), like_these=None
        )
    like = over(tiled[draws, :, np.arange(repeats)[:, None]])
    return Estimate(
        value=float(these[0]),
        these=percentile(these, alpha),
        like_these=percentile(like, alpha),
    )


def middle_mean(values: Array) -> Array:
    """The interquartile mean of each row: a quarter is cut off at either end."""
    found: Array = stats.trim_mean(values, 0.25, axis=1)
    return found


def percentile(values: Array, alpha: float) -> Interval:
    """The interval that holds all but `alpha` of the resamples."""
    low, high = np.quantile(values, [alpha / 2, 1 - alpha / 2])
    return Interval(low=float(low), high=float(high), level=1 - alpha)


def ranking(means: Array) -> Array:
    """Ranks [task, contender, repeat] from means of the same shape; 1 is best."""
    found: Array = stats.rankdata(means, axis=1)
    return found


def left_out(means: Array, contenders: Sequence[str]) -> dict[str, dict[str, int]]:
    """Places by mean rank with each contender left out in turn."""
    found: dict[str, dict[str, int]] = {}
    for i, name in enumerate(contenders):
        rest = [j for j in range(len(contenders)) if j != i]
        if not len(means) or not rest:
            continue
        ranks = ranking(means[:, rest, :1]).mean(axis=(0, 2))
        places = stats.rankdata(ranks, method="min")
        found[name] = {
            contenders[j]: int(place) for j, place in zip(rest, places, strict=True)
        }
    return found


def profile(times: Array) -> tuple[tuple[float, ...], Array, Array]:
    """The performance profile of times [task, contender], and its mean up to `LIMIT`.

    The share of tasks that a contender solves within a ratio of the fastest time; an
    infinite time is never within. The area is the integral over [1, LIMIT], divided by
    the length of that range.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        fastest = times.min(axis=1, keepdims=True) if times.size else times
        # A task solved at step 0 by the fastest is solved by a ratio of 1 or never.
        ratio = np.where(times == fastest, 1.0, times / np.maximum(fastest, 1e-300))
    ratio = np.where(np.isfinite(times), ratio, np.inf)
    inner = ratio[np.isfinite(ratio) & (ratio <= LIMIT)]
    points = np.unique(np.concatenate([[1.0, LIMIT], inner]))
    if not len(times):
        return tuple(points), np.empty((0, 0)), np.empty(0)
    shares = (ratio[:, :, None] <= points).mean(axis=0)
    areas = (shares[:, :-1] * np.diff(points)).sum(axis=1) / (LIMIT - 1)
    return tuple(float(p) for p in points), shares, areas
