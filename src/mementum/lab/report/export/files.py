"""The report's figures and tables as files beside its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from mementum.lab.records import segments, sql
from mementum.lab.records.run import RunRecord
from mementum.lab.report.export.data_frames import COLUMNS, Frame, frames
from mementum.lab.report.figures.drawing import Drawing
from mementum.lab.report.page import Seen, unseen
from mementum.lab.statistics import Analysis


def write(
    analysis: Analysis,
    records: Sequence[RunRecord],
    page: Path,
    drawings: Sequence[Drawing],
    seen: Seen = unseen,
) -> Path:
    """Write `figures` and `tables` into the folder of this page's name.

    Every figure is an SVG and a PNG, every table a Parquet and a CSV file. Returns the
    folder: `report-files` for `report.html`.

    Errors:
        OSError: The folder cannot be written, or the disk is full.
    """
    folder = page.with_name(f"{page.stem}-files")
    pictures(drawings, folder / "figures", seen)
    found = frames(analysis, records)
    with _tables(found) as base:
        for form in sql.FORMATS:
            sql.export(base, folder / "tables", form, found)
    return folder


def pictures(drawings: Sequence[Drawing], folder: Path, seen: Seen = unseen) -> None:
    """Write figures into a folder, each as SVG and as PNG, telling how many are done.

    Errors:
        OSError: The folder cannot be written, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for done, drawing in enumerate(drawings, start=1):
        name = drawing.figure.file
        (folder / f"{name}.svg").write_text(drawing.svg, encoding="utf-8")
        (folder / f"{name}.png").write_bytes(drawing.png())
        seen(done / len(drawings))


def _tables(frames: Mapping[str, Frame]) -> duckdb.DuckDBPyConnection:
    """Return a database of the tables of a comparison; what is not a number is NULL."""
    base = segments.database()
    for name, frame in frames.items():
        segments.fill(
            base,
            name,
            {
                column: (COLUMNS[name][column], [None if v != v else v for v in values])
                for column, values in frame.items()
            },
        )
    return base
