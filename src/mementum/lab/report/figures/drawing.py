"""A figure drawn by Matplotlib, once: for the page, and as SVG and PNG beside it.

What belongs to a contender is a group of its own: the page hides it by its name, and
shows its words, or those of each of its marks, where the pointer rests.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet

from mementum.lab.report.figures.axes import Axis
from mementum.lab.report.figures.figure import Figure, Series
from mementum.lab.report.figures.palette import INK, MUTED, PAPER, RULE

WIDTH = 440
"""Pixels of the page, for every figure."""
_INCH = 96
_LETTERS = 64
_LEFT, _RIGHT, _BELOW, _ABOVE = 46, 10, 38, 6
"""Pixels around the axes."""
_LETTER, _LONGEST = 6.9, 22
"""Pixels of a letter of a name, and letters after which a name is cut."""
_LEAD = 14
"""Pixels between the axes and the name of a line."""
_TICKS = 5
"""Labels of a linear axis, at most."""
_LINE = 15
"""Pixels of a line of the title."""
_APART = 11.5
"""Pixels between the labels of two lines, at least."""
_STYLE: Any = {
    "font.size": 8.25,
    "axes.titlesize": 8.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.75,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.4,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "svg.fonttype": "none",
    "svg.hashsalt": "mementum",
}


@contextmanager
def _style() -> Iterator[None]:
    """The style of all figures; of letters that the font lacks, boxes are drawn."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


@dataclass
class Drawing:
    """A figure on its sheet, and what the groups of its SVG belong to and say."""

    figure: Figure
    sheet: Sheet
    above: float
    """The share of the sheet that its title takes."""
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The contender and the words of the group with this id."""
    marks: dict[str, Sequence[str]] = field(default_factory=dict)
    """The words of each mark in the group with this id."""

    @cached_property
    def svg(self) -> str:
        """The sheet as a file of its own, with its title."""
        text = io.StringIO()
        with _style():
            self.sheet.savefig(text, format="svg", metadata={"Date": None})
        return text.getvalue()

    def png(self) -> bytes:
        """The same for slides."""
        picture = io.BytesIO()
        with _style():
            self.sheet.savefig(picture, format="png", dpi=2 * _INCH)
        return picture.getvalue()


def draw(figure: Figure) -> Drawing:
    """Draw a figure."""
    # A subject's name may be long, and the page gives both a line of their own.
    title = [
        line
        for words in (figure.subject, figure.title)
        for line in textwrap.wrap(_plain(words), _LETTERS)
    ]
    above = _LINE * len(title)
    height = figure.height + above
    labels = [each for each in figure.series if each.labelled and len(each.ys)]
    rows = figure.y.ticks.values() if figure.y.bare and figure.y.ticks else ()
    left = max([_LEFT, *(_room(name) for name in rows)])
    right = max([_RIGHT, *(_LEAD + _room(each.name) for each in labels)])
    with _style():
        sheet = Sheet(figsize=(WIDTH / _INCH, height / _INCH))
        FigureCanvasAgg(sheet)
        # Margins are set by hand: a layout that measures its texts takes many times
        # longer.
        wide, tall = WIDTH - left - right, figure.height - _BELOW - _ABOVE
        place = (left / WIDTH, _BELOW / height, wide / WIDTH, tall / height)
        panel = sheet.add_axes(place)
        sheet.text(0.01, 1 - 4 / height, "\n".join(title), va="top", gid="title")
        drawing = Drawing(figure, sheet, above / height)
        _frame(panel, figure)
        for number, each in enumerate(figure.series):
            _Pen(panel, drawing, each, f"s{number}").draw()
        _label(panel, drawing, labels, tall)
    return drawing


def _room(name: str) -> float:
    """Return how many pixels a name takes."""
    return 14 + _LETTER * len(_cut(name))


def _plain(text: str) -> str:
    """Return a text without what no file of a picture may hold."""
    whole = "\N{REPLACEMENT CHARACTER}"
    return "".join(each if each.isprintable() else whole for each in text)


def _cut(name: str) -> str:
    """Return a name that leaves room for the figure."""
    name = _plain(name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _frame(panel: Axes, figure: Figure) -> None:
    """Draw what stands behind the series: axes, stripe and line."""
    _axis(panel, figure.x, "x")
    _axis(panel, figure.y, "y")
    if figure.band is not None:
        panel.axvspan(*figure.band, color=MUTED, alpha=0.12, linewidth=0, zorder=0.4)
        panel.axvline(0, color=MUTED, linewidth=0.75, zorder=0.5)


def _axis(panel: Axes, axis: Axis, side: str) -> None:
    """Set scale, range, ticks and title of an axis."""
    own = panel.xaxis if side == "x" else panel.yaxis
    getattr(panel, f"set_{side}scale")("log" if axis.logged else "linear")
    getattr(panel, f"set_{side}lim")(axis.low, axis.high)
    if axis.ticks is not None:
        own.set_ticks([*axis.ticks], labels=[*map(_cut, axis.ticks.values())])
        own.set_minor_locator(mpl.ticker.NullLocator())
    else:
        own.set_major_locator(mpl.ticker.MaxNLocator(_TICKS, steps=[1, 2, 5, 10]))
    own.set_label_text(_plain(axis.title))
    if axis.bare:
        own.set_tick_params(length=0, grid_alpha=0, labelcolor=INK)
        panel.spines["left" if side == "y" else "bottom"].set_visible(False)


@dataclass
class _Pen:
    """Draws a series; every group of it has an id, its owner and its words."""

    panel: Axes
    drawing: Drawing
    series: Series
    name: str
    number: count[int] = field(default_factory=count)

    def owned(self, artist: Artist) -> str:
        """Note whose the group of this artist is; return its id."""
        key = f"{self.name}-{next(self.number)}"
        artist.set_gid(key)
        self.drawing.owners[key] = (self.series.name, self.series.words)
        return key

    def draw(self) -> None:
        """Draw the parts that the series has, what lies behind first."""
        self.ranges()
        for low, high, width in self.series.bars:
            ends = [self.series.ys[0]] * 2
            self.line([low, high], ends, linewidth=width, solid_capstyle="butt")
        if self.series.width and len(self.series.xs) > 1:
            stepped = "steps-post" if self.series.stepped else "default"
            dashes = self.series.look.dashes
            self.line(
                self.series.xs,
                self.series.ys,
                linewidth=self.series.width,
                drawstyle=stepped,
                linestyle=(0, dashes) if dashes else "-",
            )
        self.marked()
        self.crossed()

    def line(self, xs: Sequence[float], ys: Sequence[float], **style: Any) -> None:
        """Draw a line in the colour of the series."""
        (line,) = self.panel.plot(xs, ys, color=self.series.look.colour, **style)
        self.owned(line)

    def ranges(self) -> None:
        """Draw the range over seeds: bars at marks, a band along a line."""
        each = self.series
        if not len(each.low):
            return
        if not each.sizes:
            band = self.panel.fill_between(
                each.xs,
                each.low,
                each.high,
                color=each.look.colour,
                alpha=0.1,
                linewidth=0,
            )
            self.owned(band)
            return
        bars = self.panel.vlines(
            each.xs, each.low, each.high, color=each.look.colour, linewidth=0.75
        )
        self.owned(bars)

    def marked(self) -> None:
        """Draw marks, each with its size, its filling and its words."""
        each = self.series
        if not each.sizes:
            return
        colour = each.look.colour
        filled = each.filled or [True] * len(each.xs)
        marks = self.panel.scatter(
            each.xs,
            each.ys,
            s=[size**2 for size in each.sizes],
            c=[colour if whole else PAPER for whole in filled],
            edgecolors=colour,
            linewidths=1,
            marker=each.look.marker,
            zorder=3,
        )
        self.drawing.marks[self.owned(marks)] = each.points

    def crossed(self) -> None:
        """Draw what has no value as crosses along the upper edge."""
        if not self.series.crosses:
            return
        xs, words = zip(*self.series.crosses, strict=True)
        marks = self.panel.scatter(
            xs,
            [0.97] * len(xs),
            s=20,
            color=self.series.look.colour,
            marker="x",
            linewidths=1,
            transform=self.panel.get_xaxis_transform(),
            zorder=3,
        )
        self.drawing.marks[self.owned(marks)] = words


def _label(
    panel: Axes, drawing: Drawing, labelled: Sequence[Series], tall: float
) -> None:
    """Write the name of each series beside the end of its line, apart from others."""
    to_share = panel.transData + panel.transAxes.inverted()
    ends = []
    for each in labelled:
        x, y = to_share.transform((each.xs[-1], each.ys[-1]))
        ends.append((min(max(float(y), 0.0), 1.0), min(float(x), 1.0), each))
    ends.sort(key=lambda end: end[0])
    for place, (y, x, each) in zip(
        spread([end[0] for end in ends], _APART / tall), ends, strict=True
    ):
        pen = _Pen(panel, drawing, each, f"l{drawing.figure.series.index(each)}")
        pen.line(
            [x, 1.01, 1.03],
            [y, place, place],
            linewidth=0.6,
            transform=panel.transAxes,
            clip_on=False,
        )
        name = _cut(each.name)
        pen.owned(panel.text(1.04, place, name, transform=panel.transAxes, va="center"))


def spread(places: Sequence[float], apart: float) -> list[float]:
    """Ascending places between 0 and 1, moved as little as keeps them apart."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + apart) if found else place)
    limit = max(1.0, apart * (len(found) - 1))
    for number in reversed(range(len(found))):
        found[number] = min(found[number], limit)
        limit = found[number] - apart
    return found
