"""`mementum bench`: from the words of the command line to the table."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from mementum import machine
from mementum.bench import chart, run, table
from mementum.bench.case import ON_GPU
from mementum.bench.entrant import CLASSES
from mementum.bench.gpu import run as gpu_run
from mementum.bench.gpu import table as gpu_table
from mementum.bench.gpu.device import Device
from mementum.bench.run import (
    BUDGET,
    MEASURED,
    QUICK,
    QUICK_BUDGET,
    Heat,
    Request,
)
from mementum.bench.training import TRAININGS
from mementum.family.limits import resolve

_Heat = Heat | gpu_run.Heat

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
        _named("case", cases, known) or known,
        _named("optimizer", classes, CLASSES) or default,
        QUICK_BUDGET if quick else BUDGET,
    )


def request_on_device(
    device: Device,
    cases: str | None,
    classes: str | None,
    formats: str | None,
    *,
    quick: bool,
) -> gpu_run.Request:
    """Return what the same lists, and one of formats, ask for on a device.

    Errors: as `request`.
    """
    return gpu_run.request(
        device,
        cases=_named("case", cases, ON_GPU),
        classes=_named("optimizer", classes, CLASSES),
        formats=_named("format", formats, gpu_run.FORMATS),
        quick=quick,
    )


def bench(asked: Request, *, as_json: bool, plot: Path | None) -> int:
    """Measure, print the table or JSON, draw the plot; return the exit code.

    Progress goes to the error stream. An interrupt prints what there is, and the
    code is 130. Errors: those of `chart.check`, before anything is measured.
    """
    load = machine.load()
    measurement = _Measurement(
        lambda: [heat.budgets for heat in asked.heats()],
        partial(run.measure, asked),
        lambda rows: table.text(rows, load),
        lambda rows: table.data(rows, load),
        chart.draw,
    )
    return _report(measurement, as_json=as_json, plot=plot)


def bench_device(
    asked: gpu_run.Request, device: Device, *, as_json: bool, plot: Path | None
) -> int:
    """Do on a device what `bench` does on the processor."""
    load = machine.load()
    measurement = _Measurement(
        lambda: [heat.case.elements for heat in asked.heats()],
        partial(gpu_run.measure, asked, device),
        lambda rows: gpu_table.text(rows, device, load),
        lambda rows: gpu_table.data(rows, device, load),
        lambda rows, path: chart.draw_panels(gpu_table.panels(rows), path),
    )
    return _report(measurement, as_json=as_json, plot=plot)


class _Measurement(NamedTuple):
    """What is measured, how long each heat takes in any unit, and how it is told."""

    heats: Callable[[], Sequence[float]]
    measure: Callable[[Callable[[_Heat, int], None]], Iterator[Any]]
    text: Callable[[list[Any]], str]
    data: Callable[[list[Any]], dict[str, Any]]
    draw: Callable[[list[Any], Path], None]


def _report(measurement: _Measurement, *, as_json: bool, plot: Path | None) -> int:
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

    def tell(self, heat: _Heat, done: int) -> None:
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


def _named(
    kind: str, names: str | None, known: Iterable[str]
) -> tuple[str, ...] | None:
    if names is None:
        return None
    return tuple(dict.fromkeys(resolve(kind, name, known) for name in names.split(",")))
