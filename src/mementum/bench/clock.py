"""Timing several steps or iterations in turn, and what their times say."""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

_Step = Callable[[], object]
_Time = TypeVar("_Time")

# Seconds that one sample lasts at least: a step shorter than this is repeated.
SAMPLE = 1e-3
# The fewest rounds whose extremes hold the median in 95 of 100 tries.
LEAST = 6
# How often each is run before it is timed.
_WARM = 2


class Spread(NamedTuple):
    """A median between two bounds."""

    median: float
    low: float
    high: float

    @property
    def around(self) -> float:
        """Half the distance of the bounds, in medians."""
        return (self.high - self.low) / 2 / self.median


class Iteration(NamedTuple):
    """A training iteration in three calls: the step, what leads to it, what follows."""

    before: _Step
    step: _Step
    after: _Step


class Iterations(NamedTuple):
    """The seconds of an iteration's steps, and of the whole iterations around them."""

    steps: list[float]
    wholes: list[float]


def alternate(steps: Sequence[_Step], budget: float) -> list[list[float]]:
    """Return the seconds that each step takes, one for each round.

    Each round goes through all steps, every other one backwards, so that a machine
    that slows down slows all alike. Rounds go on for `budget` seconds, and there are
    `LEAST` of them whatever they cost. The garbage collector is off meanwhile.
    """
    with _uncollected():
        return _rounds(
            [partial(_sample, step, _repeats(step)) for step in steps], budget
        )


def alternate_iterations(
    iterations: Sequence[Iteration], budget: float
) -> list[Iterations]:
    """Return the seconds that each iteration and its step take, one for each round.

    The rounds are those of `alternate`. Each sample is one iteration.
    """
    with _uncollected():
        for iteration in iterations:
            for _ in range(_WARM):
                _iterate(iteration)
        rounds = _rounds([partial(_iterate, each) for each in iterations], budget)
    return [
        Iterations([step for step, _ in pairs], [whole for _, whole in pairs])
        for pairs in rounds
    ]


def alternate_samples(
    samples: Sequence[Callable[[], _Time]], rounds: int
) -> list[list[_Time]]:
    """Return what each sample says, one for each of the rounds of `alternate`."""
    with _uncollected():
        return _rounds(samples, 0.0, rounds)


def _rounds(
    samples: Sequence[Callable[[], _Time]], budget: float, least: int = LEAST
) -> list[list[_Time]]:
    times: list[list[_Time]] = [[] for _ in samples]
    turns = list(zip(samples, times, strict=True))
    end = time.perf_counter() + budget
    while len(times[0]) < least or time.perf_counter() < end:
        for sample, found in turns:
            found.append(sample())
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
    for _ in range(_WARM):
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


def _iterate(iteration: Iteration) -> tuple[float, float]:
    """Return the seconds of the step, and of all three calls."""
    start = time.perf_counter()
    iteration.before()
    ready = time.perf_counter()
    iteration.step()
    stepped = time.perf_counter()
    iteration.after()
    return stepped - ready, time.perf_counter() - start


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


def short(number: float) -> str:
    """Return a ratio to three digits or so, in five characters at most."""
    return f"{number:.2f}" if number < 10 else f"{number:,.0f}"
