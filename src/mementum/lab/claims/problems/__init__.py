"""The problems that claims are about and no comparison has."""

from __future__ import annotations

from mementum.lab.claims.problems.basins import BASINS
from mementum.lab.claims.problems.chain import CHAIN
from mementum.lab.claims.problems.impulse import FADING
from mementum.lab.claims.problems.random_signs import LATE, RANDOM
from mementum.lab.claims.problems.vision import CONVOLUTION, RESIDUAL
from mementum.lab.task import Task

PROBLEMS: tuple[Task, ...] = (
    RANDOM,
    LATE,
    FADING,
    BASINS,
    CONVOLUTION,
    RESIDUAL,
    CHAIN,
)
