"""The report's figures and tables as files beside its page."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from mementum.lab.frames import Frame, frames
from mementum.lab.report import static
from mementum.lab.report.drawn import Drawn
from mementum.lab.run import RunRecord
from mementum.lab.statistics import Analysis


def write(analysis: Analysis, records: Sequence[RunRecord], page: Path) -> Path:
    """Write `figures` and `tables` into the folder of this page's name.

    Returns the folder: `report-files` for `report.html`.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    folder = page.with_name(f"{page.stem}-files")
    places = folder / "figures", folder / "tables"
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    figures, tables = places
    for name, frame in frames(analysis, records).items():
        table(frame, tables / f"{name}.csv")
    static.sheets(Drawn.of(analysis, records).sheets().items(), figures)
    return folder


def table(frame: Frame, path: Path) -> None:
    """Write a table as CSV; what does not exist is an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(frame)
        for row in zip(*frame.values(), strict=True):
            out.writerow(["" if absent(value) else value for value in row])


def absent(value: object) -> bool:
    """Whether there is no such number."""
    return value is None or (isinstance(value, float) and math.isnan(value))
