"""The statistics of a comparison: pure functions on records, with no input or output.

`choice` picks learning rates by cross-fitting, `contrast` compares with the reference
and reaches verdicts, `analyse` runs both over a plan, `plain` gives the JSON form.
"""

from mementum.lab.statistics.analyse import analyse
from mementum.lab.statistics.analysis import (
    Analysis,
    Result,
    Sensitivity,
    TaskResult,
    Trouble,
)
from mementum.lab.statistics.choice import Choice, Grid, Scored, choose
from mementum.lab.statistics.contrast import Contrast, Verdict, compare
from mementum.lab.statistics.facts import PlanFacts, TaskFacts
from mementum.lab.statistics.pairs import Interval, Pairs

__all__ = [
    "Analysis",
    "Choice",
    "Contrast",
    "Grid",
    "Interval",
    "Pairs",
    "PlanFacts",
    "Result",
    "Scored",
    "Sensitivity",
    "TaskFacts",
    "TaskResult",
    "Trouble",
    "Verdict",
    "analyse",
    "choose",
    "compare",
]
