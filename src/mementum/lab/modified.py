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

from mementum.lab import tasks
from mementum.lab.claims.problems import PROBLEMS
from mementum.lab.making import Making, Modifier, Stepper
from mementum.lab.probes import PROBES
from mementum.lab.task import Task

SEPARATOR = "+"
Factor = Callable[[int, int], float]
"""The learning rate at a step of so many, as a share of the rate that is planned."""


def root(step: int, steps: int) -> float:
    """Return one over the root of the step, counted from 1: the rate of the proofs."""
    return 1 / math.sqrt(step + 1)


def drops(step: int, steps: int) -> float:
    """Return the rate of AdaX's CIFAR-10 figure: a tenth at 55 and at 82 % of the run.

    The curves drop at about 39,000 and 58,500 of 71,000 iterations.
    """
    return 0.1 ** sum(step >= share * steps for share in (0.55, 0.82))


def decline(step: int, steps: int) -> float:
    """Return AdamNX's rate: linearly to 1 % at 60 % of the run, and constant then."""
    return max(0.01, 1 - 0.99 * step / (0.6 * steps))


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
    "matched": matched,
    **PROBES,
}


def split(name: str) -> tuple[str, tuple[str, ...]]:
    """Return a task's own name and the words that modify it.

    Raises:
        LookupError: A word is no modifier.
    """
    own, *words = name.split(SEPARATOR)
    for word in words:
        if word not in MODIFIERS:
            known = ", ".join(MODIFIERS)
            raise LookupError(f"{name}: {word!r} is no modifier; there are {known}")
    return own, tuple(words)


def find(name: str, steps: int | None = None) -> Task:
    """Return the task of this name, modifiers aside, in the size of so many steps.

    The name of a user's file may hold the separator: a task of the whole name wins.
    """
    with suppress(LookupError):
        return tasks.find(name, steps)
    own, _ = split(name)
    for problem in PROBLEMS:
        if problem.name == own:
            return problem
    return tasks.find(own, steps)


def begin(name: str, task: Task, seed: int, build: Callable[..., Optimizer]) -> Making:
    """Return the run in the making; ``build`` makes the optimizer of parameters."""
    problem = task.start(seed)
    optimizer = build(problem.parameters())
    making = Making(task, problem, optimizer, optimizer)
    for word in () if name == task.name else split(name)[1]:
        MODIFIERS[word](making)
    return making
