"""What may be changed about a task's training, by words after its name.

``mlp-digits+drops+sharpness`` is mlp-digits with a learning rate that drops twice and
with the sharpness of the training loss in the place of its metric. A name is all that a
worker needs, so a modified run is kept, resumed and shown like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch.optim import Optimizer

from mementum.lab.planning.schedule import Factor, cosine, decline, drops, root
from mementum.lab.running.probes import PROBES
from mementum.lab.running.run_state import Making, Modifier, Stepper
from mementum.lab.tasks import registry
from mementum.lab.tasks.claimed import PROBLEMS
from mementum.lab.tasks.task import Task

SEPARATOR = "+"


@dataclass
class Scheduled:
    """Steps an optimizer with a learning rate that follows a schedule."""

    inner: Stepper
    optimizer: Optimizer
    factor: Factor
    steps: int
    step_number: int = 0
    planned: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.planned = [group["lr"] for group in self.optimizer.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.inner.zero_grad()

    def step(self) -> None:
        """Set the rate of this step, and take it."""
        share = self.factor(self.step_number, self.steps)
        for group, lr in zip(self.optimizer.param_groups, self.planned, strict=True):
            group["lr"] = lr * share
        self.step_number += 1
        self.inner.step()


@dataclass
class Matched:
    """Rescales every update to a root mean square of the learning rate.

    Two optimizers differ then in the direction of their updates alone.
    """

    inner: Stepper
    optimizer: Optimizer
    parameters: list[torch.nn.Parameter]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.inner.zero_grad()

    @torch.no_grad()
    def step(self) -> None:
        """Take the step, and give it its size."""
        before = [parameter.detach().clone() for parameter in self.parameters]
        self.inner.step()
        changes = [p - old for p, old in zip(self.parameters, before, strict=True)]
        square = sum(float(change.square().sum()) for change in changes)
        number = sum(change.numel() for change in changes)
        if square == 0 or not math.isfinite(square):
            return
        size = self.optimizer.param_groups[0]["lr"] / math.sqrt(square / number)
        for parameter, old, change in zip(
            self.parameters, before, changes, strict=True
        ):
            parameter.copy_(old + size * change)


def scheduled(factor: Factor) -> Modifier:
    """Return the modifier that makes the learning rate follow this schedule."""

    def modify(making: Making) -> None:
        making.stepper = Scheduled(
            making.stepper, making.optimizer, factor, making.task.steps
        )

    return modify


def matched(making: Making) -> None:
    """Give all updates the root mean square of the learning rate."""
    parameters = making.problem.parameters()
    making.stepper = Matched(making.stepper, making.optimizer, parameters)


MODIFIERS: dict[str, Modifier] = {
    "root": scheduled(root),
    "drops": scheduled(drops),
    "decline": scheduled(decline),
    "cosine": scheduled(cosine),
    "matched": matched,
    **PROBES,
}
CLAIMED = {problem.name: problem for problem in PROBLEMS}
"""The problems of claims, which no comparison has."""


def split(name: str) -> tuple[str, tuple[str, ...]]:
    """Return a task's own name and the words that modify it.

    The name of a user's file may hold the separator: the longest name of a task wins.

    Raises:
        LookupError: There is no such task, or a word is no modifier.
    """
    own, words = name, list[str]()
    while SEPARATOR in own and not known(own):
        own, _, word = own.rpartition(SEPARATOR)
        words.insert(0, word)
    for word in words:
        if word not in MODIFIERS:
            listed = ", ".join(MODIFIERS)
            raise LookupError(f"{name}: {word!r} is no modifier; there are {listed}")
    return own, tuple(words)


def known(name: str) -> bool:
    """Return whether there is a task of this very name."""
    with suppress(LookupError):
        registry.find(name)
        return True
    return name in CLAIMED


def find(name: str, steps: int | None = None) -> Task:
    """Return the task of this name, modifiers aside, in the size of so many steps."""
    own, _ = split(name)
    try:
        return registry.find(own, steps)
    except LookupError:
        if own not in CLAIMED:
            raise
    return CLAIMED[own]


def begin(name: str, task: Task, seed: int, build: Callable[..., Optimizer]) -> Making:
    """Return the run in the making; ``build`` makes the optimizer of parameters."""
    problem = task.start(seed)
    optimizer = build(problem.parameters())
    making = Making(task, problem, optimizer, optimizer)
    for word in () if name == task.name else split(name)[1]:
        MODIFIERS[word](making)
    return making
