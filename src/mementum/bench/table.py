"""The measurement as a table of 80 columns, and as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from mementum import machine
from mementum.bench.chart import Mark, Panel
from mementum.bench.clock import Spread, short
from mementum.bench.entrant import CLASSES
from mementum.bench.measurement import disturbance
from mementum.bench.run import DENSE, MEASURED, Row
from mementum.torch.backends import native

_Rows = Sequence[Row]
_Ratio = Callable[[Row], Spread | None]
_RATIOS_IN_LOOP: dict[str, _Ratio] = {
    "step": lambda row: row.ratio,
    "iteration": lambda row: row.iteration_ratio,
}

_HEAD = (
    f"  {'':<15}{'state':<9}{'us/step':>10}{'spread':>8}{'GB/s':>7}"
    f"{'ratio':>8}{'95 %':>12}{'of floor':>9}"
)
_HEAD_IN_LOOP = (
    f"  {'':<24}{'step:':>9}{'iteration:':>33}\n"
    f"  {'':<15}{'state':<9}{'us':>9}{'spread':>7}{'ratio':>6}{'95 %':>10}"
    f"{'ms':>6}{'ratio':>6}{'95 %':>10}"
)
_NOTES = (
    "us/step: median; spread: half the distance of its quartiles. GB/s: what a step\n"
    "must read and write. ratio: to torch's fused AdamW (with amsgrad where the peak\n"
    "is kept) or, on strided memory, where that step is wrong, to our dense one; the\n"
    "median of the rounds' ratios, and its interval. of floor: to a loop that reads\n"
    "and writes the same arrays and computes nothing."
)
_NOTES_IN_LOOP = (
    "In a training loop a step follows a forward and a backward pass. step: that of\n"
    "the optimizer; iteration: forward, backward, step and zero_grad; medians, and\n"
    "half the distance of the quartiles. ratio: to torch's fused AdamW (with amsgrad\n"
    "where the peak is kept). clipping: clip_norm, beside clip_grad_norm_ and the\n"
    'fused step, timed together. skipping: nonfinite="skip", beside the fused step.'
)


def text(rows: _Rows, load: float | None) -> str:
    """Return the machine, a table for each case, and what its columns mean.

    `load` is the machine's before the measurement.
    """
    parts = [_machine(load)]
    for name, case in MEASURED.items():
        own = [row for row in rows if row.case == name]
        if own:
            head = _HEAD if own[0].iteration is None else _HEAD_IN_LOOP
            title = f"{name}: {case.summary}, {case.elements:,} elements"
            parts.append("\n".join([title, head, *map(_line, own)]))
    if any(row.iteration is not None for row in rows):
        parts.append(_NOTES_IN_LOOP)
    if any(row.iteration is None for row in rows):
        parts.append(_NOTES)
    return "\n\n".join([*parts, *disturbance([row.seconds for row in rows])])


def data(rows: _Rows, load: float | None) -> dict[str, Any]:
    """Return the machine and the rows as JSON can hold them; times in seconds.

    `load` is the machine's before the measurement.
    """
    return {"machine": _facts(load), "rows": [_plain(row) for row in rows]}


def panels(rows: _Rows) -> list[Panel]:
    """Return a panel a case, with each class's ratio to its reference.

    A case in a training loop has a panel for its step and one for its iteration. Where
    one class alone is measured in loops, its cases share two panels.
    """
    ours = [row for row in rows if row.name in CLASSES and row.ratio is not None]
    if len({row.name for row in ours}) == 1 and all(row.iteration for row in ours):
        return [
            _panel(f"{ours[0].name}: {what}", ours, ratio, lambda row: row.case)
            for what, ratio in _RATIOS_IN_LOOP.items()
        ]
    return list(_panels(ours))


def _facts(load: float | None) -> dict[str, Any]:
    """Return what a reader must know of the machine to judge the times."""
    kernel = native.library() is not None
    return {
        "processor": machine.processor(),
        "cores": machine.cores(),
        "threads": torch.get_num_threads(),
        "kernel_threads": native.threads() if kernel else None,
        "instruction_set": native.ISAS[native.isa()] if kernel else None,
        "load": load,
        **machine.versions(),
    }


def _machine(load: float | None) -> str:
    known = _facts(load)
    kernel = known["instruction_set"] or "none (`mementum doctor` says why)"
    lines = [
        f"{known['processor']}, {known['cores']} cores",
        f"threads: {known['threads']}, kernel: {kernel}",
        *([f"kernel's threads: {known['kernel_threads']}"] if native.library() else []),
        f"torch {known['torch']}, Python {known['Python']}",
    ]
    if load is not None:
        lines.append(f"load of the minute before: {load:.1f}")
    return "\n".join(lines)


def _line(row: Row) -> str:
    microseconds = row.seconds.median * 1e6
    digits = 1 if microseconds < 1_000 else 0
    line = f"  {row.name:<15}{row.state:<9}"
    if row.iteration is not None:
        line += (
            f"{microseconds:>9,.0f}{row.seconds.around:>7.0%}{_ratio(row.ratio, 6, 10)}"
            f"{row.iteration.median * 1e3:>6,.0f}{_ratio(row.iteration_ratio, 6, 10)}"
        )
        return line.rstrip()
    line += (
        f"{microseconds:>10,.{digits}f}{row.seconds.around:>7.0%} "
        f"{row.gigabytes_per_second:>7.1f}{_ratio(row.ratio, 8, 12)}"
    )
    if row.of_floor is not None:
        line += f"{short(row.of_floor.median):>9}"
    return line.rstrip()


def _ratio(value: Spread | None, width: int, bounds: int) -> str:
    if value is None:
        return " " * (width + bounds)
    interval = f"{short(value.low)}-{short(value.high)}"
    return f"{short(value.median):>{width}}{interval:>{bounds}}"


def _plain(row: Row) -> dict[str, Any]:
    return {
        "case": row.case,
        "name": row.name,
        "state": row.state,
        "rounds": row.rounds,
        "bytes": row.bytes,
        "gigabytes_per_second": row.gigabytes_per_second,
        "seconds": _bounds(row.seconds),
        "beside": row.beside,
        "ratio": _bounds(row.ratio),
        "of_floor": _bounds(row.of_floor),
        "iteration": _bounds(row.iteration),
        "iteration_ratio": _bounds(row.iteration_ratio),
    }


def _bounds(value: Spread | None) -> dict[str, float] | None:
    return None if value is None else value._asdict()


def _panels(rows: Sequence[Row]) -> Iterator[Panel]:
    for case in MEASURED:
        own = [row for row in rows if row.case == case]
        if not own:
            continue
        if own[0].iteration is None:
            yield _panel(case, own, lambda row: row.ratio)
        else:
            for what, ratio in _RATIOS_IN_LOOP.items():
                yield _panel(f"{case}, {what}", own, ratio)


def _panel(
    title: str,
    rows: Sequence[Row],
    ratio: _Ratio,
    name: Callable[[Row], str] = lambda row: row.name,
) -> Panel:
    """Return a panel of ratios, with a line for each `name`."""
    dense = any(row.beside != DENSE for row in rows)
    marks = [
        Mark(name(row), f"{row.state} state", value)
        for row in rows
        if (value := ratio(row)) is not None
    ]
    label = "times torch's fused" if dense else "times the dense one"
    return Panel(title, label, marks)
