"""The figures of the page as files: SVG for print, PNG for slides.

They are drawn from the same plain data as the figures of the page, so the two cannot
differ in what they show. All figures of a kind stand on one sheet.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet
from matplotlib.patches import Rectangle

from mementum.lab.report.figures.palette import MUTED
from mementum.lab.report.figures.task_figures import Figure, Trace

_COLUMNS = 2
_PIXELS = 96
"""Pixels of the page to an inch."""
_LETTERS = 56
"""The length of a title's line."""
_WIDTH, _ROW = 4.6, 0.2
_LEFT, _RIGHT, _BELOW, _ABOVE = 1.2, 0.15, 0.55, 0.55
"""Inches of a panel, of a line of the legend, and around a panel."""
MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-left": "<",
    "triangle-right": ">",
    "cross": "P",
    "x": "X",
    "star": "*",
    "hexagon": "h",
    "pentagon": "p",
    "x-thin-open": "x",
}
_STYLE: Any = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "svg.fonttype": "none",
    "svg.hashsalt": "mementum",
}


def _write(name: str, figures: Sequence[Figure], folder: Path) -> None:
    """Draw these figures on a sheet and write it as SVG and as PNG."""
    with mpl.rc_context(_STYLE):
        sheet = _draw(figures)
        sheet.savefig(folder / f"{name}.svg", metadata={"Date": None})
        sheet.savefig(folder / f"{name}.png", dpi=150)


def _draw(figures: Sequence[Figure]) -> Sheet:
    """A sheet with a panel for each figure and a legend for all."""
    columns = min(_COLUMNS, len(figures))
    rows = math.ceil(len(figures) / columns)
    panel = max(figure.layout["height"] for figure in figures) / _PIXELS
    named = {meta for f in figures for t in f.data if (meta := _legend(t)) is not None}
    top = _ROW * math.ceil(len(named) / (2 * columns)) + 0.1
    width, height = _WIDTH * columns, panel * rows + top
    sheet = Sheet(figsize=(width, height))
    FigureCanvasAgg(sheet)
    # Margins are set by hand: a layout that measures its texts takes many times longer.
    places = sheet.add_gridspec(
        rows,
        columns,
        left=_LEFT / width,
        right=1 - _RIGHT / width,
        bottom=_BELOW / height,
        top=1 - (top + _ABOVE) / height,
        wspace=(_LEFT + _RIGHT) / (_WIDTH - _LEFT - _RIGHT),
        hspace=(_BELOW + _ABOVE) / (panel - _BELOW - _ABOVE),
    )
    handles: dict[str, Any] = {}
    for place, figure in enumerate(figures):
        handles |= _fill(sheet.add_subplot(places[divmod(place, columns)]), figure)
    if handles:
        sheet.legend(
            handles.values(),
            handles.keys(),
            loc="upper center",
            bbox_to_anchor=(0.5, 1 - 0.02 / height),
            ncols=2 * columns,
            frameon=False,
        )
    return sheet


def _legend(trace: Trace) -> str | None:
    """What the legend calls a trace; None where it stands in no legend."""
    return str(trace["meta"]) if "name" in trace and "lines" in trace["mode"] else None


def _fill(panel: Axes, figure: Figure) -> dict[str, Any]:
    """Draw one figure; return a handle for each named trace."""
    layout = figure.layout
    words = [figure.subject, *textwrap.wrap(figure.title, _LETTERS)]
    panel.set_title(_literal("\n".join(filter(None, words))), fontsize=8)
    _frame(panel, layout["xaxis"], "x")
    _frame(panel, layout["yaxis"], "y")
    for shape in layout.get("shapes", ()):
        _stripe(panel, shape)
    handles = {}
    for trace in figure.data:
        handle = _plot(panel, trace)
        called = _legend(trace)
        if called is not None and handle is not None:
            handles[_literal(called)] = handle
    return handles


def _literal(text: str) -> str:
    """Text in which no dollar sign starts a formula."""
    return text.replace("$", r"\$")


def _frame(panel: Axes, axis: dict[str, Any], side: str) -> None:
    """Scale, range, ticks and title of an axis."""
    logged = axis.get("type") == "log"
    getattr(panel, f"set_{side}scale")("log" if logged else "linear")
    if "range" in axis:
        low, high = axis["range"]
        ends = (10**low, 10**high) if logged else (low, high)
        getattr(panel, f"set_{side}lim")(*ends)
    if "tickvals" in axis:
        words = [_plain(text) for text in axis["ticktext"]]
        getattr(panel, f"set_{side}ticks")(axis["tickvals"], words)
        getattr(panel, f"{side}axis").set_minor_locator(mpl.ticker.NullLocator())
    getattr(panel, f"set_{side}label")(_literal(axis["title"]["text"]))


def _plain(text: str) -> str:
    """A label without its few tags."""
    for tag, ours in (("<b>", ""), ("</b>", ""), ("<br>", "\n")):
        text = text.replace(tag, ours)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return _literal(text)


def _stripe(panel: Axes, shape: dict[str, Any]) -> None:
    """A vertical stripe behind everything, or a line."""
    low, high = shape["x0"], shape["x1"]
    if high > low:
        patch = Rectangle(
            (low, 0),
            high - low,
            1,
            transform=panel.get_xaxis_transform(),
            color="#5a606e",
            alpha=0.12,
            linewidth=0,
        )
        panel.add_patch(patch)
    else:
        panel.axvline(low, color=MUTED, linewidth=0.8)


def _plot(panel: Axes, trace: Trace) -> Any:
    """One trace: a filled band, a line, marks, or a line with marks."""
    if trace.get("fill") == "toself":
        colour = _rgba(trace["fillcolor"])
        panel.fill(trace["x"], trace["y"], color=colour, linewidth=0)
        return None
    if trace.get("yaxis") == "y2":
        where = panel.get_xaxis_transform()
        marker = trace["marker"]
        panel.plot(trace["x"], trace["y"], "x", color=marker["color"], transform=where)
        return None
    handle = None
    if "lines" in trace["mode"]:
        line = trace["line"]
        (handle,) = panel.plot(
            trace["x"],
            trace["y"],
            color=line["color"],
            linewidth=min(line["width"], 4),
            linestyle=_dashes(line.get("dash", "solid")),
            drawstyle="steps-post" if line.get("shape") == "hv" else "default",
            solid_capstyle="butt",
        )
    if "markers" in trace["mode"]:
        _marks(panel, trace)
    if "error_y" in trace:
        bars = trace["error_y"]
        panel.errorbar(
            trace["x"],
            trace["y"],
            yerr=[bars["arrayminus"], bars["array"]],
            fmt="none",
            ecolor=bars["color"],
            elinewidth=0.8,
        )
    return handle


def _marks(panel: Axes, trace: Trace) -> None:
    """The marks of a trace, each with its own size and filling."""
    marker, count = trace["marker"], len(trace["x"])
    sizes = _each(marker["size"], count)
    fills = _each(marker["color"], count)
    edge = marker.get("line", {}).get("color")
    panel.scatter(
        trace["x"],
        trace["y"],
        s=[(0.6 * size) ** 2 for size in sizes],
        c=fills,
        edgecolors=edge or fills,
        marker=MARKERS[marker["symbol"]],
        zorder=3,
    )


def _each(value: Any, count: int) -> list[Any]:
    """A value for each of so many marks."""
    return value if isinstance(value, list) else [value] * count


def _rgba(colour: str) -> tuple[float, ...]:
    """The colour of a `rgba(red,green,blue,alpha)` string."""
    red, green, blue, alpha = map(float, colour.strip("rgba()").split(","))
    return (red / 255, green / 255, blue / 255, alpha)


def _dashes(dash: str) -> Any:
    """A Plotly dash as a Matplotlib line style."""
    named = {"solid": "-", "dot": ":", "dashdot": "-."}
    if dash in named:
        return named[dash]
    return (0, [float(part.removesuffix("px")) / 2 for part in dash.split(",")])


def sheets(kinds: Iterable[tuple[str, Sequence[Figure]]], folder: Path) -> None:
    """Write a sheet for every kind that has figures."""
    for name, figures in kinds:
        if figures:
            _write(name, figures, folder)
