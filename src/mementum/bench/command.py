"""`mementum bench`: from the words of the command line to the table."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from mementum import machine
from mementum.bench import chart, table
from mementum.bench.entrant import CLASSES
from mementum.bench.run import (
    BUDGET,
    MEASURED,
    QUICK,
    QUICK_BUDGET,
    Heat,
    Request,
    Row,
    measure,
)
from mementum.bench.training import TRAININGS
from mementum.family.limits import resolve

# Seconds between two lines of progress where no terminal can rewrite one.
_PLAIN_LINES = 10.0


def request(
    cases: str | None, classes: str | None, *, quick: bool, in_loop: bool
) -> Request:
    """Return what lists of names with commas ask for; None asks for all.

    `in_loop` leaves only the cases in a training loop to ask for. Errors:
    `ValueError` for a name of nothing, with the nearest ones.
    """
    default = QUICK if quick else tuple(CLASSES)
    known = tuple(TRAININGS if in_loop else MEASURED)
    return Request(
        _chosen("case", cases, known, known),
        _chosen("optimizer", classes, CLASSES, default),
        QUICK_BUDGET if quick else BUDGET,
    )


def bench(asked: Request, *, as_json: bool, plot: Path | None) -> int:
    """Measure, print the table or JSON, draw the plot; return the exit code.

    Progress goes to the error stream. An interrupt prints what there is, and the
    code is 130. Errors: those of `chart.check`, before anything is measured.
    """
    if plot is not None:
        chart.check(plot)
    load = machine.load()
    progress = Progress([heat.budgets for heat in asked.heats()], sys.stderr)
    rows: list[Row] = []
    code = 0
    try:
        rows.extend(measure(asked, progress.tell))
    except KeyboardInterrupt:
        code = 130
    progress.close()
    if code and not rows:
        return code
    if as_json:
        print(json.dumps(table.data(rows, load), indent=1))
    else:
        print(table.text(rows, load))
    if plot is not None and not code:
        chart.draw(rows, plot)
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
        what = f"{heat.case.name}, {heat.member or 'torch'}"
        line = f"{done}/{len(self._heats)}  {what}  {self._left(now, done)}".rstrip()
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


def _chosen(
    kind: str, names: str | None, known: Iterable[str], default: tuple[str, ...]
) -> tuple[str, ...]:
    if names is None:
        return default
    return tuple(dict.fromkeys(resolve(kind, name, known) for name in names.split(",")))
