"""Shows a comparison under way: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    Group,
    RenderableType,
    RenderHook,
)
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from mementum.lab.planning.forecast import Forecast

_PAUSE = 5.0
"""Seconds between two plain lines, at least."""


class _Display(Protocol):
    """Shows a forecast while it changes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def update(self) -> None:
        """Take note that a run has ended."""
        ...


def display(console: Console, forecast: Forecast) -> _Display:
    """Return the display that suits the console."""
    if console.is_terminal:
        return _LiveDisplay(console, forecast)
    return _Lines(console, forecast)


class _LiveDisplay:
    """A bar for each task and a line with the time left, drawn anew in place."""

    def __init__(self, console: Console, forecast: Forecast) -> None:
        self.forecast = forecast
        self.live = Live(
            get_renderable=self.picture,
            console=console,
            refresh_per_second=4,
            transient=True,
        )

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.live.stop()

    def update(self) -> None:
        """The display draws itself anew four times a second."""

    def picture(self) -> RenderableType:
        """Return what the display shows now."""
        rows = Table.grid(padding=(0, 1), expand=True)
        rows.add_column(no_wrap=True)
        rows.add_column(ratio=1)
        rows.add_column(justify="right", no_wrap=True)
        for task, total in self.forecast.total.items():
            over = total - self.forecast.left[task]
            rows.add_row(task, ProgressBar(total, over), f"{over}/{total}")
        return Group(rows, Text(self.forecast.summary(), style="bold"))


class _Lines:
    """A line now and then, for log files and pipes."""

    def __init__(self, console: Console, forecast: Forecast) -> None:
        self.console = console
        self.forecast = forecast
        self.printed = forecast.clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def update(self) -> None:
        """Print a line, unless one was printed just before."""
        if self.forecast.clock() - self.printed >= _PAUSE:
            self.printed = self.forecast.clock()
            self.console.print(self.forecast.summary(), soft_wrap=True, highlight=False)


class _Trimmed:
    """Something to print, less the blanks at the ends of its lines."""

    def __init__(self, whole: RenderableType) -> None:
        self.whole = whole

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[Segment]:
        blanks: list[Segment] = []
        for text, style, control in console.render(self.whole, options):
            if control:
                yield Segment(text, style, control)
                continue
            for piece in text.splitlines(keepends=True):
                line = piece.rstrip(" \n")
                if line:
                    yield from blanks
                    yield Segment(line, style)
                if line or piece.endswith("\n"):
                    blanks = []
                if piece.endswith("\n"):
                    yield Segment.line()
                elif rest := piece[len(line) :]:
                    blanks.append(Segment(rest, style))
        yield from blanks


class _Trimming(RenderHook):
    """Has whatever is printed end its lines with their last letters."""

    def process_renderables(
        self, renderables: list[ConsoleRenderable]
    ) -> list[ConsoleRenderable]:
        return [_Trimmed(each) for each in renderables]


class PatientConsole(Console):
    """A console whose reader may leave, as `head` does, without ending the command.

    No line that it prints ends in blanks, with which tables fill their last columns.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        highlight: bool = True,
        soft_wrap: bool = False,
        width: int | None = None,
    ) -> None:
        super().__init__(
            stderr=stderr, highlight=highlight, soft_wrap=soft_wrap, width=width
        )
        self.push_render_hook(_Trimming())

    def on_broken_pipe(self) -> None:
        """Print nothing from here on, and let the command do the rest of its work."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)
