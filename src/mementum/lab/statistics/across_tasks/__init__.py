"""All tasks together: how each contender stands, and how sure that is."""

from mementum.lab.statistics.across_tasks.bootstrap import Estimate
from mementum.lab.statistics.across_tasks.standings import (
    Across,
    Standing,
    cross_fitted,
    left_out,
    profile,
    summarise,
)

__all__ = [
    "Across",
    "Estimate",
    "Standing",
    "cross_fitted",
    "left_out",
    "profile",
    "summarise",
]
