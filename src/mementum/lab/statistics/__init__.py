"""The statistics of a comparison: pure functions on records, with no input or output.

`choice` picks learning rates by cross-fitting and `sequential` by a pilot, whose choice
fresh seeds judge in looks. `verdicts` compares with the reference, `target_times` times
the way to a target, `budget` says what tuning buys, `across_tasks` puts tasks together,
`controls` checks what must come out as known, and `analysis` runs all over a plan.
"""

from __future__ import annotations

from mementum.lab.statistics.across_tasks import Across, Estimate, Standing
from mementum.lab.statistics.analysis import Analysis, analyse
from mementum.lab.statistics.choice import Choice, Scored, choose
from mementum.lab.statistics.controls import Control
from mementum.lab.statistics.grid import Grid
from mementum.lab.statistics.pairs import Interval, Pairs
from mementum.lab.statistics.target_times import Reach
from mementum.lab.statistics.task_result import (
    Arm,
    Result,
    Sensitivity,
    TaskResult,
    Trouble,
)
from mementum.lab.statistics.verdicts import Contrast, Verdict, compare

__all__ = [
    "Across",
    "Analysis",
    "Arm",
    "Choice",
    "Contrast",
    "Control",
    "Estimate",
    "Grid",
    "Interval",
    "Pairs",
    "Reach",
    "Result",
    "Scored",
    "Sensitivity",
    "Standing",
    "TaskResult",
    "Trouble",
    "Verdict",
    "analyse",
    "choose",
    "compare",
]
