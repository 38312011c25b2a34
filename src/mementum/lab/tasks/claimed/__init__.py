"""The problems that claims are about and no comparison has."""

from __future__ import annotations

from mementum.lab.tasks.claimed.digits import CONVOLUTION, RESIDUAL
from mementum.lab.tasks.claimed.fading_gradient import FADING
from mementum.lab.tasks.claimed.lstm_chain import CHAIN
from mementum.lab.tasks.claimed.real_data import LENGTHS
from mementum.lab.tasks.claimed.reddi_random import LATE, RANDOM
from mementum.lab.tasks.claimed.two_basins import BASINS
from mementum.lab.tasks.task import Task

__all__ = ["PROBLEMS"]

PROBLEMS: tuple[Task, ...] = (
    RANDOM,
    LATE,
    FADING,
    BASINS,
    CONVOLUTION,
    RESIDUAL,
    CHAIN,
    *LENGTHS,
)
