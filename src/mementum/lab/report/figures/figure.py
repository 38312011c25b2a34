"""A figure as plain data: axes, and the series of the contenders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mementum.lab.report.figures.axes import Axis
from mementum.lab.report.figures.palette import Look


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
