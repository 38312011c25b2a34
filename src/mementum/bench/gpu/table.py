"""The measurement on a GPU as a table of 80 columns, as data and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mementum.bench.case import ON_GPU
from mementum.bench.chart import Mark, Panel
from mementum.bench.clock import Spread, short
from mementum.bench.gpu.device import Device
from mementum.bench.gpu.run import COPY, LeftOut, Row
from mementum.bench.measurement import disturbance, plain

_Rows = Sequence[Row | LeftOut]

_HEAD = (
    f"  {'':<22} {'state':<8} {'B/el':>5} {'step ms':>7} {'GPU ms':>7} "
    f"{'copy':>5} {'ratio':>5} {'host us':>7} {'MB':>4}"
)
_NOTES = (
    "B/el: bytes that a step must move for an element. step: the median between\n"
    "events around a step on an idle GPU; GPU: the same behind other work, so\n"
    "without the host's time. copy: the speed of a step, as the bytes it must\n"
    "move, in that of a copy on the device. ratio: to torch's fused AdamW of the\n"
    "same parameters (with amsgrad where the peak is kept), the median of the\n"
    "rounds' ratios. host: until the call of a step returns. MB: what a step\n"
    "allocates at its peak. bfloat16 parameters with bfloat16 or float8 state are\n"
    "rounded with noise."
)


def text(rows: _Rows, device: Device, load: float | None) -> str:
    """Return the device, a table for each case, and what its columns mean.

    `load` is the machine's before the measurement.
    """
    measured = [row for row in rows if isinstance(row, Row)]
    parts = [facts_text(device.facts(), load)]
    for name, case in ON_GPU.items():
        own = [row for row in measured if row.case == name]
        if own:
            title = f"{name}: {case.summary}, {case.elements:,} elements"
            parts.append("\n".join([title, _HEAD, *_lines(own)]))
    parts += [
        f"Left out: {row.title}\n  {row.reason}."
        for row in rows
        if isinstance(row, LeftOut)
    ]
    parts += _other_paths(measured)
    if measured:
        parts.append(_NOTES)
    return "\n\n".join([*parts, *disturbance([row.step for row in measured])])


def data(rows: _Rows, device: Device, load: float | None) -> dict[str, Any]:
    """Return the device and the rows as JSON can hold them; times in seconds.

    `load` is the machine's before the measurement.
    """
    return {
        "machine": {**device.facts(), "load": load},
        "rows": [plain(row) for row in rows if isinstance(row, Row)],
        "left_out": [row._asdict() for row in rows if isinstance(row, LeftOut)],
    }


def panels(rows: _Rows) -> list[Panel]:
    """Return a panel a case, with each entrant's ratio to torch's fused step."""
    return [
        Panel(name, "times torch's fused", marks)
        for name in ON_GPU
        if (marks := [_mark(row, row.ratio) for row in _compared(rows, name)])
    ]


def facts_text(facts: dict[str, Any], load: float | None) -> str:
    """Return what is known of a device in lines of a table's width."""
    lines = [str(facts["device"])]
    if facts.get("memory"):
        lines[0] += f", {facts['memory'] / 1e9:.0f} GB"
    known = [f"{name} {facts[name]}" for name in facts if facts[name] is not None]
    words = [each for each in known if not each.startswith(("device ", "memory "))]
    if load is not None:
        words.append(f"load of the minute before {load:.1f}")
    for word in words:
        word = word.replace("_", " ")
        if len(lines) > 1 and len(lines[-1]) + len(word) < 77:
            lines[-1] += f", {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def _compared(rows: _Rows, case: str) -> Iterator[Row]:
    for row in rows:
        if isinstance(row, Row) and row.case == case and row.ratio is not None:
            yield row


def _mark(row: Row, ratio: Spread | None) -> Mark:
    assert ratio is not None
    name = row.params if row.params == row.state else f"{row.params}+{row.state}"
    return Mark(name, row.name, ratio)


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line for each row, and one that names the parameters of those below."""
    for row in rows:
        if row.name == COPY:
            yield f"  {row.params} parameters"
        yield _line(row)


def _line(row: Row) -> str:
    per = "" if row.name == COPY else f"{row.bytes / row.elements:.2f}"
    compared = "" if row.ratio is None else short(row.ratio.median)
    extra = "" if row.peak is None else f"{row.peak / 1e6:,.0f}"
    return (
        f"  {row.name:<22} {row.state:<8} {per:>5} {_ms(row.step):>7} "
        f"{_ms(row.behind):>7} {row.of_copy:>5.3f} {compared:>5} "
        f"{row.host.median * 1e6:>7,.0f} {extra:>4}"
    ).rstrip()


def _ms(seconds: Spread) -> str:
    milliseconds = seconds.median * 1e3
    return f"{milliseconds:,.3f}" if milliseconds < 1_000 else f"{milliseconds:,.0f}"


def _other_paths(rows: Sequence[Row]) -> Iterator[str]:
    """Yield why steps of ours were not run by Triton."""
    refused = [(row.path, row.refusal) for row in rows if row.refusal is not None]
    for path, reason in dict.fromkeys(refused):
        yield f"Steps were run by {path} and not by Triton:\n  {reason}."
