"""Draw the table of training loops in docs/performance.md: `make figures`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mementum.bench import chart
from mementum.bench.chart import Mark, Panel
from mementum.bench.clock import Spread

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
ROW = re.compile(
    r"^\| (?:`(\w+)`)? ?\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE
)
CELL = re.compile(r"([\d.]+) \(([\d.]+) to ([\d.]+)\)")
PANELS = {3: "AdamW: step", 4: "AdamW: iteration"}
LEFT_OUT = ("nonfinite",)  # Its steps are in the table; a picture of all is too full.
LABEL = "times torch's fused AdamW"


def panels(page: str) -> list[Panel]:
    """Return a panel for steps and one for iterations, with a row for each case."""
    _, _, page = page.partition("### In training loops")
    table, _, _ = page.partition("What the figures say")
    marks: dict[int, list[Mark]] = {column: [] for column in PANELS}
    case = ""
    for row in ROW.finditer(table):
        case = row[1] or case
        for column in PANELS:
            series = row[2].replace("`", "")
            cell = CELL.match(row[column])
            if cell is not None and not series.startswith(LEFT_OUT):
                median, low, high = map(float, cell.groups())
                marks[column].append(Mark(case, series, Spread(median, low, high)))
    return [Panel(PANELS[column], LABEL, marks[column]) for column in PANELS]


if __name__ == "__main__":
    chart.draw(panels(PAGE.read_text(encoding="utf-8")), Path(sys.argv[1]))
