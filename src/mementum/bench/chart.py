"""The ratios of a measurement as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mementum import install
from mementum.bench.clock import Spread
from mementum.family.picture import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Mark(NamedTuple):
    """A value between its bounds: which row it lies on, and what it is one of."""

    name: str
    series: str
    value: Spread


class Panel(NamedTuple):
    """One of a picture's parts: its title, what its axis is, and its marks."""

    title: str
    label: str
    marks: Sequence[Mark]


_MARKS = ("o", "s", "^", "D")
_COLUMNS = 4
# Ratios to name on an axis, and how many at most.
_TICKS = tuple(digit * 10**power for power in range(-3, 4) for digit in (1, 2, 5))
_FINER_TICKS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 2.5)
_FEWEST, _MOST = 3, 6


def check(path: Path) -> None:
    """Refuse a file that could not be drawn, before minutes go into its numbers.

    Errors: `ModuleNotFoundError` without matplotlib, `ValueError` for a folder that
    is not there or an ending of no format.
    """
    if find_spec("matplotlib") is None:
        raise install.missing("--plot", "matplotlib", "lab")
    from matplotlib.backend_bases import FigureCanvasBase

    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.removeprefix(".") not in formats:
        known = ", ".join(formats)
        raise ValueError(f"--plot is {path}; its ending must be one of {known}.")
    if not path.parent.is_dir():
        raise ValueError(f"--plot is {path}; there is no folder {path.parent}.")


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Draw panels that share their rows; the file's ending chooses the format.

    Errors: `OSError` from writing, `ValueError` without a panel.
    """
    figure(panels).savefig(path, dpi=160)


def figure(panels: Sequence[Panel]) -> Figure:
    """Return the picture of panels. Errors: `ValueError` without one."""
    from matplotlib.figure import Figure

    if not panels:
        raise ValueError("nothing of ours was measured, so there is nothing to draw.")
    marks = [mark for panel in panels for mark in panel.marks]
    names = list(dict.fromkeys(mark.name for mark in marks))
    series = list(dict.fromkeys(mark.series for mark in marks))
    columns = min(_COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    across = min(4, 1 + columns)
    # In inches: a row for each name, as high as its marks, and the legend's lines.
    rows = max(0.26, 0.13 * len(series)) * len(names)
    legend = 0.22 * math.ceil(len(series) / across)
    drawn = Figure(
        figsize=(1.2 + 2.6 * columns, lines * (1.2 + rows) + legend),
        layout="constrained",
    )
    grid = drawn.subplots(lines, columns, sharey=True, squeeze=False)
    places = list(grid.flat)
    for axes in places[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(places, panels, strict=False):
        _draw_panel(axes, panel, names, series)
    handles, labels = places[0].get_legend_handles_labels()
    drawn.legend(
        handles, labels, loc="outside lower center", ncols=across, frameon=False
    )
    return drawn


def _draw_panel(
    axes: Axes, panel: Panel, names: Sequence[str], series: Sequence[str]
) -> None:
    apart = min(0.2, 0.8 / len(series))
    for i, label in enumerate(series):
        offset = apart * (i - (len(series) - 1) / 2)
        shown = [
            (names.index(mark.name) + offset, mark.value)
            for mark in panel.marks
            if mark.series == label
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
            label=label,
        )
    axes.axvline(1, color="#777777", linewidth=1)
    _scale(axes, [mark.value for mark in panel.marks])
    axes.set_title(panel.title, fontsize=11)
    axes.set_xlabel(panel.label)
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
    if len(ticks) < _FEWEST:
        ticks = [tick for tick in _FINER_TICKS if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: 1 + len(ticks) // _MOST]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
