"""The measurement as a table of 80 columns, and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from mementum import machine
from mementum.bench.case import CASES
from mementum.bench.clock import Spread
from mementum.bench.run import Row
from mementum.torch.backends import native

_Rows = Sequence[Row]

# A step whose quartiles lie further than this from its median met other processes.
_DISTURBED = 0.1

_HEAD = (
    f"  {'':<15}{'state':<9}{'us/step':>10}{'spread':>8}{'GB/s':>7}"
    f"{'ratio':>8}{'95 %':>12}{'of floor':>9}"
)
_NOTES = (
    "us/step: median; spread: half the distance of its quartiles. GB/s: what a step\n"
    "must read and write. ratio: to torch's fused AdamW (with amsgrad where the peak\n"
    "is kept) or, on strided memory, where that step is wrong, to our dense one; the\n"
    "median of the rounds' ratios, and its interval. of floor: to a loop that reads\n"
    "and writes the same arrays and computes nothing."
)


def text(rows: _Rows) -> str:
    """Return the machine, a table for each case, and what its columns mean."""
    parts = [_machine()]
    for name, case in CASES.items():
        own = [row for row in rows if row.case == name]
        if own:
            title = f"{name}: {case.summary}, {case.elements:,} elements"
            parts.append("\n".join([title, _HEAD, *map(_line, own)]))
    return "\n\n".join([*parts, _NOTES, *_disturbance(rows)])


def data(rows: _Rows) -> dict[str, Any]:
    """Return the machine and the rows as JSON can hold them; times in seconds."""
    return {"machine": _facts(), "rows": [_plain(row) for row in rows]}


def _facts() -> dict[str, Any]:
    """Return what a reader must know of the machine to judge the times."""
    kernel = native.library() is not None
    return {
        "processor": machine.processor(),
        "cores": machine.cores(),
        "threads": torch.get_num_threads(),
        "instruction_set": native.ISAS[native.isa()] if kernel else None,
        "load": machine.load(),
        **machine.versions(),
    }


def _machine() -> str:
    known = _facts()
    kernel = known["instruction_set"] or "none (`mementum doctor` says why)"
    lines = [
        f"{known['processor']}, {known['cores']} cores",
        f"threads: {known['threads']}, kernel: {kernel}",
        f"torch {known['torch']}, Python {known['Python']}",
    ]
    if known["load"] is not None:
        lines.append(f"load of the last minute: {known['load']:.1f}")
    return "\n".join(lines)


def _disturbance(rows: _Rows) -> Iterator[str]:
    """Yield a warning where times lie too far apart to be the steps' own."""
    wide = sum(_around(row) > _DISTURBED for row in rows)
    if wide > len(rows) / 10:
        yield (
            f"Disturbed: in {wide} of {len(rows)} rows the spread is over "
            f"{_DISTURBED:.0%}. Measure again while\nnothing else runs."
        )


def _around(row: Row) -> float:
    """Return half the distance of the quartiles, in medians."""
    return (row.seconds.high - row.seconds.low) / 2 / row.seconds.median


def _line(row: Row) -> str:
    seconds = row.seconds
    around = _around(row)
    microseconds = seconds.median * 1e6
    digits = 1 if microseconds < 1_000 else 0
    line = (
        f"  {row.name:<15}{row.state:<9}{microseconds:>10,.{digits}f}{around:>7.0%} "
        f"{row.gigabytes_per_second:>7.1f}"
    )
    return (line + "".join(_ratios(row))).rstrip()


def _ratios(row: Row) -> Iterator[str]:
    if row.ratio is None:
        yield " " * 20
    else:
        interval = f"{_short(row.ratio.low)}-{_short(row.ratio.high)}"
        yield f"{_short(row.ratio.median):>8}{interval:>12}"
    if row.of_floor is not None:
        yield f"{_short(row.of_floor.median):>9}"


def _short(number: float) -> str:
    """Return a ratio to three digits or so, in five characters at most."""
    return f"{number:.2f}" if number < 10 else f"{number:,.0f}"


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
    }


def _bounds(value: Spread | None) -> dict[str, float] | None:
    return None if value is None else value._asdict()
