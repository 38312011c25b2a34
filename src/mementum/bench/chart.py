"""The ratios of a measurement as a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mementum import install
from mementum.bench.clock import Spread
from mementum.bench.entrant import CLASSES, FORMATS
from mementum.bench.run import DENSE, MEASURED, Row
from mementum.family.picture import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Ratio = Callable[[Row], Spread | None]

_MARKS = ("o", "s", "^", "D")
_COLUMNS = 4
# Ratios to name on an axis, and how many at most.
_TICKS = tuple(digit * 10**power for power in range(-3, 4) for digit in (1, 2, 5))
_MOST = 6


def check(path: Path) -> None:
    """Refuse a file that could not be drawn, before minutes go into its numbers.

    Errors: `ModuleNotFoundError` without matplotlib, `ValueError` for a folder that
    is not there or an ending of no format.
    """
    if find_spec("matplotlib") is None:
        raise ModuleNotFoundError(
            f"--plot needs matplotlib: run {install.command('lab')}."
        )
    from matplotlib.backend_bases import FigureCanvasBase

    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.removeprefix(".") not in formats:
        known = ", ".join(formats)
        raise ValueError(f"--plot is {path}; its ending must be one of {known}.")
    if not path.parent.is_dir():
        raise ValueError(f"--plot is {path}; there is no folder {path.parent}.")


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw each class's ratio to its reference with its interval, a panel a case.

    A case in a training loop has a panel for its step and one for its iteration. The
    file's ending chooses the format. Errors: `OSError` from writing.
    """
    from matplotlib.figure import Figure

    ours = [row for row in rows if row.name in CLASSES and row.ratio is not None]
    shown = list(_panels(ours))
    names = [name for name in CLASSES if any(row.name == name for row in ours)]
    if not shown:
        raise ValueError("nothing of ours was measured, so there is nothing to draw.")
    columns = min(_COLUMNS, len(shown))
    lines = math.ceil(len(shown) / columns)
    figure = Figure(
        figsize=(1.2 + 2.6 * columns, lines * (1.2 + 0.26 * len(names))),
        layout="constrained",
    )
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes, (title, own, ratio) in zip(panels, shown, strict=False):
        _panel(axes, own, names, ratio)
        axes.set_title(title, fontsize=11)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=160)


def _panels(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row], _Ratio]]:
    """Yield title, rows and ratio of each panel."""
    for case in MEASURED:
        own = [row for row in rows if row.case == case]
        if not own:
            continue
        if own[0].iteration is None:
            yield case, own, lambda row: row.ratio
        else:
            yield f"{case}, step", own, lambda row: row.ratio
            yield f"{case}, iteration", own, lambda row: row.iteration_ratio


def _panel(
    axes: Axes, rows: Sequence[Row], names: Sequence[str], ratio: _Ratio
) -> None:
    for i, state in enumerate(FORMATS):
        offset = 0.2 * (i - (len(FORMATS) - 1) / 2)
        shown = [
            (names.index(row.name) + offset, value)
            for row in rows
            if row.state == state and (value := ratio(row)) is not None
        ]
        colour = COLOURS[i % len(COLOURS)]
        for place, value in shown:
            axes.plot([value.low, value.high], [place] * 2, color=colour)
        axes.plot(
            [value.median for _, value in shown],
            [place for place, _ in shown],
            linestyle="none",
            marker=_MARKS[i % len(_MARKS)],
            markersize=5,
            color=colour,
            label=f"{state} state",
        )
    axes.axvline(1, color="#777777", linewidth=1)
    _scale(axes, [value for row in rows if (value := ratio(row)) is not None])
    dense = any(row.beside != DENSE for row in rows)
    axes.set_xlabel("times torch's fused" if dense else "times the dense one")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.spines[["top", "right"]].set_visible(False)


def _scale(axes: Axes, values: Sequence[Spread]) -> None:
    """Make equal factors equal distances, and name the numbers that people count in."""
    from matplotlib.ticker import FixedLocator, NullLocator

    ends = [end for value in values for end in (value.low, value.high)]
    low, high = min(*ends, 0.9) / 1.1, max(*ends, 1.1) * 1.1
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: 1 + len(ticks) // _MOST]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
