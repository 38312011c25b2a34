"""The comparison as one HTML file that opens offline and loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from markupsafe import Markup

from mementum.lab.records import atomic
from mementum.lab.records.run import RunRecord
from mementum.lab.report import methods, tables
from mementum.lab.report.figures.drawing import Drawing, draw
from mementum.lab.report.figures.figure import Figure
from mementum.lab.report.figures.figure_set import FigureSet
from mementum.lab.report.figures.inline_svg import Styles, inline
from mementum.lab.report.figures.palette import looks
from mementum.lab.report.ledger_rows import LedgerRows
from mementum.lab.report.templating import environment
from mementum.lab.statistics import Analysis

Seen: TypeAlias = Callable[[float], object]
"""What is told which share of the figures is done."""


def unseen(_: float) -> None:
    """Take no notice."""


def write(
    analysis: Analysis,
    records: Iterable[RunRecord],
    path: Path,
    ledger: LedgerRows | None = None,
    seen: Seen = unseen,
) -> list[Drawing]:
    """Write the page to this file, replacing what was there; return its figures.

    A ledger is shown too. The page is written beside the file first and then takes its
    place, so that an interrupted write leaves the old page whole.

    Errors:
        OSError: The folder cannot be written, or the disk is full.
    """
    figures = FigureSet.of(analysis, list(records))
    drawings = drawn(figures.all(), seen)
    atomic.write_text(Path(path), _rendered(analysis, figures, drawings, ledger))
    return drawings


def render(
    analysis: Analysis, records: Iterable[RunRecord], ledger: LedgerRows | None = None
) -> str:
    """The page as text."""
    figures = FigureSet.of(analysis, list(records))
    return _rendered(analysis, figures, drawn(figures.all()), ledger)


def _rendered(
    analysis: Analysis,
    figures: FigureSet,
    drawings: Sequence[Drawing],
    ledger: LedgerRows | None,
) -> str:
    svgs, styles = elements(drawings)
    template = environment().get_template("page.html.j2")
    return template.render(
        analysis=analysis,
        drawn=figures,
        svgs=svgs,
        styles=styles,
        looks=looks(analysis.contenders, analysis.reference, analysis.matched),
        numbers=[tables.numbers(task, analysis) for task in analysis.tasks],
        tuning=[tables.tuning(task, analysis) for task in analysis.tasks],
        standings=tables.standings(analysis),
        controls=tables.controls(analysis),
        troubles=tables.troubles(analysis),
        claims=None if ledger is None else tables.claims(ledger),
        ledger=ledger,
        methods=methods.paragraphs(analysis),
    )


def drawn(figures: Sequence[Figure], seen: Seen = unseen) -> list[Drawing]:
    """Draw figures, telling how many are done."""
    found = []
    for figure in figures:
        found.append(draw(figure))
        seen(len(found) / len(figures))
    return found


def elements(drawings: Sequence[Drawing]) -> tuple[Mapping[str, Markup], Markup]:
    """Return figures as elements of a page, by name, and the styles they share."""
    styles = Styles()
    found = {
        each.figure.name: Markup(inline(each, styles))  # noqa: S704, escaped there
        for each in drawings
    }
    return found, Markup(styles)  # noqa: S704, Matplotlib's own
