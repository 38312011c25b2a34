"""Timing several steps in turn, and what their times say."""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_Step = Callable[[], object]

# Seconds that one sample lasts at least: a step shorter than this is repeated.
SAMPLE = 1e-3
# The fewest rounds whose extremes hold the median in 95 of 100 tries.
LEAST = 6


class Spread(NamedTuple):
    """A median between two bounds."""

    median: float
    low: float
    high: float


def alternate(steps: Sequence[_Step], budget: float) -> list[list[float]]:
    """Return the seconds that each step takes, one for each round.

    Each round goes through all steps, every other one backwards, so that a machine
    that slows down slows all alike. Rounds go on for `budget` seconds, and there are
    `LEAST` of them whatever they cost. The garbage collector is off meanwhile.
    """
    times: list[list[float]] = [[] for _ in steps]
    with _uncollected():
        repeats = [_repeats(step) for step in steps]
        turns = list(zip(steps, repeats, times, strict=True))
        end = time.perf_counter() + budget
        while len(times[0]) < LEAST or time.perf_counter() < end:
            for step, count, seconds in turns:
                seconds.append(_sample(step, count))
            turns.reverse()
    return times


def spread(times: Sequence[float]) -> Spread:
    """Return the median and the quartiles around it."""
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return Spread(middle, low, high)


def ratio(times: Sequence[float], reference: Sequence[float]) -> Spread:
    """Return the median ratio of the rounds, and its 95 % interval.

    A round's two times are neighbours, so what disturbs both cancels. The bounds are
    order statistics: the median of any distribution lies between them in at least 95
    of 100 tries, if rounds are independent.
    """
    pairs = zip(times, reference, strict=True)
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    outside = _outside(len(ratios))
    return Spread(statistics.median(ratios), ratios[outside], ratios[-1 - outside])


def _outside(count: int) -> int:
    """Return how many of `count` order statistics a 95 % interval leaves on a side."""
    tail, outside = 0.0, -1
    while True:
        tail += math.comb(count, outside + 1) / 2**count
        if tail > 0.025:
            return max(outside, 0)
        outside += 1


def _repeats(step: _Step) -> int:
    """Return how often a step must be taken to last a sample, once it is warm."""
    for _ in range(2):
        step()
    return max(1, math.ceil(SAMPLE / max(_sample(step, 1), 1e-7)))


def _sample(step: _Step, count: int) -> float:
    # What the others left in the caches is not this step's to pay, where one step is
    # so short that it would find its own arrays there in the next.
    if count > 1:
        step()
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
