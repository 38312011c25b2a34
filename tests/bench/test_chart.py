"""What was measured can be read in its picture."""

from __future__ import annotations

import pytest

from mementum.bench import chart
from mementum.bench.chart import Mark, Panel
from mementum.bench.clock import Spread


@pytest.mark.parametrize("panels", [1, 2, 7])
@pytest.mark.parametrize("names", [1, 6])
@pytest.mark.parametrize("series", [1, 5, 9])
def test_no_legend_lies_over_a_panel(panels: int, names: int, series: int) -> None:
    pytest.importorskip("matplotlib")
    marks = [
        Mark(f"name {name}", f"a rather long series {label}", Spread(1.0, 0.9, 1.2))
        for name in range(names)
        for label in range(series)
    ]
    drawn = chart.figure([Panel(f"case {i}", "times", marks) for i in range(panels)])
    drawn.draw_without_rendering()
    (legend,) = drawn.legends
    low = [axes.get_tightbbox().y0 for axes in drawn.axes if axes.get_visible()]
    assert legend.get_window_extent().y1 <= min(low)
    # A mark is 5 points high, and so is the least that a row has for each.
    height = drawn.axes[0].get_window_extent().height / drawn.dpi * 72
    assert height >= 5 * names * series
