"""A number over tasks: how much each task weighs, and how sure the number is.

Every family of tasks has the same weight, which its members share. The first interval
resamples seeds within tasks, the second the families as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mementum.lab.statistics.pairs import Interval

if TYPE_CHECKING:
    from mementum.lab.statistics.task_result import TaskResult

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
REPEATS = 10_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its two intervals: for these tasks, and for tasks like these."""

    value: float
    these: Interval | None
    like_these: Interval | None


def families(tasks: Sequence[TaskResult]) -> Places:
    """The place of each task's family among the families of these tasks."""
    names = list(dict.fromkeys(task.family for task in tasks))
    return np.array([names.index(task.family) for task in tasks], dtype=np.int64)


def kin(tasks: Sequence[TaskResult]) -> Iterator[tuple[str, ...]]:
    """The names of tasks that share a family."""
    for family in dict.fromkeys(task.family for task in tasks):
        names = tuple(task.name for task in tasks if task.family == family)
        if len(names) > 1:
            yield names


def shares(places: Places) -> Array:
    """The weight of each task: a family's, shared by its members; their sum is 1."""
    sizes = np.bincount(places)
    found: Array = 1 / (len(sizes) * sizes[places])
    return found


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights of tasks: as they are, and in resamples of their families.

    `these` is [task]. `drawn` is [repeat, task]: a family that is drawn twice weighs
    twice as much, and one that is not drawn weighs nothing. It is None where there is
    only one family to draw.
    """

    these: Array
    drawn: Array | None

    @classmethod
    def of(cls, tasks: Sequence[TaskResult], rng: np.random.Generator) -> Weights:
        """The weights of these tasks."""
        places = families(tasks)
        these, number = shares(places), len(np.bincount(places))
        if number < 2:
            return cls(these=these, drawn=None)
        chances = np.full(number, 1 / number)
        counts = rng.multinomial(number, chances, size=REPEATS)
        return cls(these=these, drawn=these * counts[:, places])


def estimate(
    parts: Sequence[Array], weights: Weights, alpha: float, *, middle: bool
) -> Estimate | None:
    """The weighted mean of [repeat, seed] parts over tasks, or that of the middle half.

    A task's weight is shared by its seeds, whatever their number.
    """
    if not parts:
        return None
    sizes = np.array([part.shape[1] for part in parts])
    tasks = np.repeat(np.arange(len(parts)), sizes)
    values = np.concatenate(parts, axis=1)

    def over(weight: Array) -> Array:
        each = np.broadcast_to((weight / sizes)[..., tasks], values.shape)
        return middle_mean(values, each) if middle else (values * each).sum(axis=1)

    these = over(weights.these)
    return Estimate(
        value=float(these[0]),
        these=_percentile(these, alpha),
        like_these=None
        if weights.drawn is None
        else _percentile(over(weights.drawn), alpha),
    )


def middle_mean(values: Array, weights: Array) -> Array:
    """The interquartile mean of each row: a quarter of the weight is cut at either end.

    A value at a cut counts with the part of its weight that is inside. The weights of
    a row sum to 1.
    """
    order = values.argsort(axis=1)
    ordered = np.take_along_axis(weights, order, axis=1)
    above = ordered.cumsum(axis=1)
    inside = np.minimum(above, 0.75) - np.maximum(above - ordered, 0.25)
    kept = np.maximum(inside, 0)
    sums: Array = (kept * np.take_along_axis(values, order, axis=1)).sum(axis=1)
    means: Array = sums / kept.sum(axis=1)
    return means


def _percentile(values: Array, alpha: float) -> Interval:
    """The interval that holds all but `alpha` of the resamples."""
    low, high = np.quantile(values, [alpha / 2, 1 - alpha / 2])
    return Interval(low=float(low), high=float(high), level=1 - alpha)
