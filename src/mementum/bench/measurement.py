"""A measurement from its heats to what is printed, written and drawn of it."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TextIO

from mementum.bench import chart
from mementum.bench.clock import Spread

# Seconds between two lines of progress where no terminal can rewrite one.
_PLAIN_LINES = 10.0
# A step whose quartiles lie further than this from its median met other work.
DISTURBED = 0.1


class Heat(Protocol):
    """What is timed together."""

    @property
    def title(self) -> str:
        """Return who is timed on what."""


class Measurement(NamedTuple):
    """What is measured, how long each heat takes in any unit, and how it is told."""

    heats: Callable[[], Sequence[float]]
    measure: Callable[[Callable[[Heat, int], None]], Iterator[Any]]
    text: Callable[[list[Any]], str]
    data: Callable[[list[Any]], dict[str, Any]]
    draw: Callable[[list[Any], Path], None]


def report(measurement: Measurement, *, as_json: bool, plot: Path | None) -> int:
    """Measure, print the table or JSON, draw the plot; return the exit code.

    Progress goes to the error stream. An interrupt prints what there is, and the
    code is 130. Errors: those of `chart.check`, before anything is measured.
    """
    if plot is not None:
        chart.check(plot)
    progress = Progress(measurement.heats(), sys.stderr)
    rows: list[Any] = []
    code = 0
    try:
        rows.extend(measurement.measure(progress.tell))
    except KeyboardInterrupt:
        code = 130
    progress.close()
    if code and not rows:
        return code
    if as_json:
        print(json.dumps(measurement.data(rows), indent=1))
    else:
        print(measurement.text(rows))
    if plot is not None and not code:
        measurement.draw(rows, plot)
        print(f"The ratios are drawn in {plot}.", file=sys.stderr)
    return code


class Progress:
    """Which heat is run and how long the rest takes: one line, or a line at times.

    It is told how long each heat takes, in any unit.
    """

    def __init__(self, heats: Sequence[float], stream: TextIO) -> None:
        self._heats = heats
        self._stream = stream
        self._rewrites = stream.isatty()
        self._start = time.monotonic()
        self._told = float("-inf")

    def tell(self, heat: Heat, done: int) -> None:
        """Say which heat begins, after how many."""
        now = time.monotonic()
        if not self._rewrites and now - self._told < _PLAIN_LINES:
            return
        self._told = now
        line = (
            f"{done}/{len(self._heats)}  {heat.title}  {self._left(now, done)}".rstrip()
        )
        self._stream.write(f"\r\x1b[K{line}" if self._rewrites else f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the line."""
        if self._rewrites:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _left(self, now: float, done: int) -> str:
        if not done:
            return ""
        share = sum(self._heats[done:]) / sum(self._heats[:done])
        left = (now - self._start) * share
        return f"{left // 60:.0f} min {left % 60:02.0f} s left"


def disturbance(times: Sequence[Spread]) -> Iterator[str]:
    """Yield a warning where times lie too far apart to be the steps' own."""
    wide = sum(each.around > DISTURBED for each in times)
    if wide > len(times) / 10:
        yield (
            f"Disturbed: in {wide} of {len(times)} rows the spread is over "
            f"{DISTURBED:.0%}. Measure again while\nnothing else runs."
        )


def plain(row: Any) -> dict[str, Any]:
    """Return a row of a measurement, a data class, as JSON can hold it."""
    return {
        field.name: value._asdict() if isinstance(value, Spread) else value
        for field in dataclasses.fields(row)
        for value in [getattr(row, field.name)]
    }
