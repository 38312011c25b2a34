"""Axes of the figures: ranges and ticks that stay readable on logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_FEW = 10
"""Whole numbers that are labelled one by one."""
_LOSSES = (-99, -90, -75, -50, -30, -20, -10, -5, -2, -1, -0.5)
_GAINS = (0.5, 1, 2, 5, 10, 20, 30, 50, 100, 200, 400, 900, 1900, 4900, 9900, 99900)
_CHANGES = (*_LOSSES, 0, *_GAINS)
"""Relative changes, in percent, that an axis of effects may be labelled with."""


class Axis(NamedTuple):
    """One axis of a panel: title, range, whether it is logarithmic, labelled ticks.

    Without ticks, round numbers are labelled.
    """

    title: str
    low: float
    high: float
    logged: bool = False
    ticks: Mapping[float, str] | None = None
    bare: bool = False
    """Labels alone, without a line, marks or a grid."""


def steps_axis(last: int) -> Axis:
    """An axis of steps from 0 to the last."""
    return counts("step", 0, last, 0.02 * last)


def counts(title: str, first: int, last: int, room: float) -> Axis:
    """An axis of whole numbers; a few are all labelled."""
    beyond = 0.0 if first == 0 else room
    few = range(first, last + 1) if last - first < _FEW else ()
    ticks = {float(number): str(number) for number in few}
    high = max(last, first + 1) + room
    return Axis(title, first - beyond, high, ticks=ticks or None)


def shares() -> Axis:
    """An axis of shares from none to all."""
    quarters = (0, 0.25, 0.5, 0.75, 1)
    return Axis("", -0.03, 1.05, ticks={each: f"{each:.0%}" for each in quarters})


def rows(names: Sequence[str]) -> Axis:
    """An axis of names, the first at the bottom."""
    ticks = {float(place): name for place, name in enumerate(names)}
    return Axis("", -0.6, len(names) - 0.4, ticks=ticks, bare=True)


def of_scale(scale: str, low: float, high: float) -> Axis:
    """An axis of scores: logarithmic where these are compared by their logarithms."""
    return logarithmic("", low, high) if scale == "log" else linear("", low, high)


def logarithmic(title: str, low: float, high: float) -> Axis:
    """A logarithmic axis over [low, high] with labels such as 0.02, 0.05, 0.1."""
    if not low > 0:
        raise ValueError(f"a logarithmic axis cannot begin at {low}")
    room = 0.04 * max(math.log10(high) - math.log10(low), 0.1)
    # Beyond these ends of a float a tick has no value.
    first = 10 ** max(math.log10(low) - room, -307.0)
    last = 10 ** min(math.log10(high) + room, 308.0)
    ticks = {tick: _label(tick) for tick in _log_ticks(first, last)}
    return Axis(title, first, last, logged=True, ticks=ticks)


def linear(title: str, low: float, high: float) -> Axis:
    """A linear axis over [low, high] with a little room."""
    room = 0.05 * (high - low) or 0.5
    return Axis(title, low - room, high + room)


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between low and high, at most about seven."""
    decades = math.log10(high) - math.log10(low)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if decades < 0.7:
        return _steps(low, high)
    if decades > 3:
        stride = math.ceil(decades / 6)
        found = [10.0**e for e in range(first, last + 1) if e % stride == 0]
    else:
        digits = (1, 2, 5) if decades <= 2 else (1, 3)
        found = [d * 10.0**e for e in range(first, last + 1) for d in digits]
    return [tick for tick in found if low <= tick <= high]


def _steps(low: float, high: float) -> list[float]:
    """Evenly spaced round numbers between low and high."""
    rough = (high - low) / 6
    unit = 10.0 ** math.floor(math.log10(rough))
    width = next(unit * d for d in (1, 2, 5, 10) if unit * d >= rough)
    count = range(math.ceil(low / width), math.floor(high / width) + 1)
    return [i * width for i in count]


def _label(tick: float) -> str:
    """A tick's number, short: 0.05, 20, 1e-5."""
    if 1e-4 < tick < 1e5:
        return f"{tick:.4g}" if tick < 1000 else f"{tick:,.0f}"
    mantissa, exponent = f"{tick:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def relative(title: str, low: float, high: float) -> Axis:
    """An axis of log ratios over [low, high], labelled in percent."""
    room = 0.06 * (high - low)
    low, high = low - room, high + room
    kept = _spread(
        [c for c in _CHANGES if low <= math.log1p(c / 100) <= high], high - low
    )
    ticks = {math.log1p(change / 100): _percent_label(change) for change in kept}
    return Axis(title, low, high, ticks=ticks)


def _spread(changes: Sequence[float], width: float) -> list[float]:
    """Percentages far enough apart to be read, zero first of all."""
    kept: list[float] = []
    for change in sorted(changes, key=lambda c: (c != 0, -abs(math.log1p(c / 100)))):
        place = math.log1p(change / 100)
        if all(abs(place - math.log1p(k / 100)) > width / 7.5 for k in kept):
            kept.append(change)
    return sorted(kept)


def _percent_label(change: float) -> str:
    """A percentage with its sign: "+5" or "0"; times beyond +1,000 %: "x20"."""
    if change == 0:
        return "0"
    if change > 1000:
        return f"x{1 + change / 100:g}"
    sign = "+" if change > 0 else "\N{MINUS SIGN}"
    return f"{sign}{abs(change):,g}"


def extent(values: Iterable[float]) -> tuple[float, float] | None:
    """The smallest and the largest finite value; None if there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else None
