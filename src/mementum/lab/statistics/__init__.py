"""The statistics of a comparison: pure functions on records, with no input or output.

`choice` picks learning rates by cross-fitting, `contrast` compares with the reference
and reaches verdicts, `survival` times the way to a target, `budget` says what tuning
buys, `across` puts tasks together, `control` checks what must come out as known,
`analyse` runs all over a plan, `plain` gives the JSON form.
"""

from mementum.lab.statistics.across import Across, Standing
from mementum.lab.statistics.analysis import Analysis, analyse
from mementum.lab.statistics.choice import Choice, Scored, choose
from mementum.lab.statistics.contrast import Contrast, Verdict, compare
from mementum.lab.statistics.control import Control
from mementum.lab.statistics.estimate import Estimate
from mementum.lab.records.plan import Outline, Plan
from mementum.lab.statistics.grid import Grid
from mementum.lab.statistics.pairs import Interval, Pairs
from mementum.lab.statistics.survival import Reach
from mementum.lab.statistics.task_result import (
    Arm,
    Result,
    Sensitivity,
    TaskResult,
    Trouble,
)

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
    "Plan",
    "Reach",
    "Result",
    "Scored",
    "Sensitivity",
    "Standing",
    "Outline",
    "TaskResult",
    "Trouble",
    "Verdict",
    "analyse",
    "choose",
    "compare",
]
