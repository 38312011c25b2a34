"""How the learning rate goes over a run: schedules, and tasks trained under them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from mementum.lab.records.run import CONSTANT, COSINE
from mementum.lab.tasks.task import Task

Factor = Callable[[int, int], float]
"""The learning rate at a step of so many, as a share of the rate that is planned."""

_WARM_UP = 0.05
SCHEDULES = {
    CONSTANT: "constant learning rate",
    COSINE: "linear warm-up over 5 % of the steps, then half a cosine to 0",
}
"""What a comparison may be made under. Those of papers belong to their claims."""


def cosine(step: int, steps: int) -> float:
    """Return the rate that rises over the first steps and then falls to 0.

    The first step has some rate and the last one too: neither is lost.
    """
    rising = max(1, round(_WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return (1 + math.cos(math.pi * (step - rising + 1) / (steps - rising + 1))) / 2


def _root(step: int, steps: int) -> float:
    """Return one over the root of the step, counted from 1: the rate of the proofs."""
    return 1 / math.sqrt(step + 1)


def _drops(step: int, steps: int) -> float:
    """Return the rate of AdaX's CIFAR-10 figure: a tenth at 55 and at 82 % of the run.

    The curves drop at about 39,000 and 58,500 of 71,000 iterations.
    """
    return 0.1 ** sum(step >= share * steps for share in (0.55, 0.82))


def _decline(step: int, steps: int) -> float:
    """Return AdamNX's rate: linearly to 1 % at 60 % of the run, and constant then."""
    return max(0.01, 1 - 0.99 * step / (0.6 * steps))


FACTORS: dict[str, Factor] = {
    "root": _root,
    "drops": _drops,
    "decline": _decline,
    COSINE: cosine,
}
"""Every schedule by its name, those of papers among them."""


def under(task: Task, schedule: str) -> Task:
    """Return the task as it is trained under a schedule; its runs are others."""
    return replace(task, schedule=schedule)
