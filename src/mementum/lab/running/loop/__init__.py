"""Carries runs out: by themselves, or as the rows of a stack."""

from mementum.lab.running.loop.execution import execute, execute_parcel
from mementum.lab.running.loop.single import stepped, train, warm_up
from mementum.lab.running.loop.stacked import StackedRuns, train_stack

__all__ = [
    "StackedRuns",
    "execute",
    "execute_parcel",
    "stepped",
    "train",
    "train_stack",
    "warm_up",
]
