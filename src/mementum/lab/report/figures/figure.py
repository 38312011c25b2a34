"""A figure as plain data: axes, and the series of the contenders."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from mementum.lab.report import number_words
from mementum.lab.report.figures.axes import Axis
from mementum.lab.report.figures.palette import Look
from mementum.lab.statistics import Interval


@dataclass(frozen=True, kw_only=True)
class Series:
    """What a contender has in a figure: a line with a label, marks, bars, a range."""

    name: str
    look: Look
    xs: Sequence[float] = ()
    ys: Sequence[float] = ()
    words: str = ""
    """What the whole of it says."""
    points: Sequence[str] = ()
    """What each of its marks says."""
    width: float = 1.5
    """Of the line; 0 for none."""
    stepped: bool = False
    """Whether it keeps its value until the next point."""
    sizes: Sequence[float] = ()
    """Of the marks, in points; none where empty."""
    filled: Sequence[bool] = ()
    """Which marks are filled; all where empty."""
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    """The range over seeds, as bars at marks or a band along a line."""
    bars: Sequence[tuple[float, float, float]] = ()
    """Horizontal bars over the first y: from, to, width."""
    crosses: Sequence[tuple[float, str]] = ()
    """Where it has no value, on the upper edge, with the words of each."""
    labelled: bool = False
    """Whether its name stands at the end of its line."""


def dot(
    name: str,
    row: int,
    look: Look,
    value: float,
    bars: Mapping[float, Interval | None],
    words: str,
    *,
    filled: bool,
) -> Series:
    """A value on a row over its intervals, which are bars of these widths."""
    return Series(
        name=name,
        look=look,
        xs=[value],
        ys=[row],
        bars=[
            (each.low, each.high, width)
            for width, each in bars.items()
            if each is not None and math.isfinite(each.low)
        ],
        sizes=[6.0],
        filled=[filled],
        points=[words],
        words=f"{name} {words}",
    )


def along_rates(
    name: str,
    look: Look,
    points: Mapping[float, tuple[float, float, float]],
    chosen: Container[float] = (),
    crosses: Sequence[tuple[float, str]] = (),
) -> Series:
    """Means with their lows and highs by learning rate; chosen ones are larger, filled.

    Without a chosen one all are filled.
    """
    return Series(
        name=name,
        look=look,
        xs=[*points],
        ys=[mean for mean, _, _ in points.values()],
        low=[low for _, low, _ in points.values()],
        high=[high for _, _, high in points.values()],
        sizes=[6.5 if lr in chosen else 3.5 for lr in points],
        filled=[not chosen or lr in chosen for lr in points],
        points=[
            f"lr {number_words.rate(lr)}: {number_words.score_words(mean)}"
            for lr, (mean, _, _) in points.items()
        ],
        crosses=crosses,
        labelled=True,
    )


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with the words that stand for it where it cannot be seen."""

    name: str
    title: str
    description: str
    x: Axis
    y: Axis
    height: int
    """Pixels; the width is that of all figures."""
    series: tuple[Series, ...]
    subject: str = ""
    """The task it is about, where it is about one."""
    band: tuple[float, float] | None = None
    """A stripe behind everything, from left to right, with a line at zero."""

    @property
    def file(self) -> str:
        """The name of its files, without an ending: the task's, as far as that goes."""
        subject = re.sub(r"[^\w+.-]+", "_", self.subject)[:60].strip("._")
        return f"{subject}-{self.name}" if subject else self.name

    def shown(self) -> list[str]:
        """The contenders that have a line in it, each once."""
        return list(dict.fromkeys(each.name for each in self.series))
