"""A run in the making: the problem, its optimizer, and what is laid around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import torch
from torch.optim import Optimizer

from mementum.lab.records.run import Curve, RunRecord, RunSpec, Status
from mementum.lab.records.scale import on_scale
from mementum.lab.running.stepping.closure import Closure, Losses
from mementum.lab.running.stepping.own_optimizer import evaluating
from mementum.lab.running.versions import environment
from mementum.lab.tasks.problem import Problem
from mementum.lab.tasks.task import Task


class Stepper(Protocol):
    """What the training loop needs of an optimizer."""

    def zero_grad(self) -> None:
        """Forget the gradients."""
        ...

    def step(self) -> object:
        """Change the parameters."""
        ...


@dataclass
class RunState:
    """A problem at its start and the optimizer that will train it."""

    task: Task
    problem: Problem
    optimizer: Optimizer
    """The optimizer itself, whatever is laid around it."""
    stepper: Stepper
    """What the training loop calls."""
    closure: Closure
    """What takes the gradient of a step."""
    scale: str
    """What its metric is compared on; what a probe measures, on that of its claim."""
    losses: Losses
    """What reads the losses before the steps."""
    closed: bool = False
    """Whether the optimizer calls the closure itself, inside its step."""


Modifier: TypeAlias = Callable[[RunState], None]
"""Lays something around the problem or the optimizer."""


@dataclass
class Progress:
    """A run as far as it has come."""

    status: Status = Status.FAILED
    steps: list[int] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    optimizer_seconds: float = 0.0
    earlier: float = 0.0
    """Seconds it had taken in the process that it goes on from."""
    parameters: int = 0
    error: str | None = None
    batches: str = ""

    def evaluate(self, step: int, made: RunState) -> bool:
        """Add a point to the curve; return whether its metric is finite.

        Errors: `LabError` for a metric that has no place on the scale.
        """
        with torch.no_grad(), evaluating(made.optimizer):
            train, validation = made.problem.evaluate()
        if math.isfinite(validation):
            on_scale(validation, made.scale, f" at step {step}")
        self.steps.append(step)
        self.train.append(train if math.isfinite(train) else math.nan)
        self.validation.append(validation if math.isfinite(validation) else math.nan)
        return math.isfinite(validation)

    def record(self, spec: RunSpec, seconds: float) -> RunRecord:
        """Return the record of the run as it stands."""
        finished = self.status is Status.FINISHED
        return RunRecord(
            spec=spec,
            status=self.status,
            score=self.validation[-1] if finished else None,
            curve=Curve(
                steps=tuple(self.steps),
                train=tuple(self.train),
                validation=tuple(self.validation),
            ),
            seconds=self.earlier + seconds,
            optimizer_seconds=self.optimizer_seconds,
            parameters=self.parameters,
            error=self.error,
            environment=environment(spec.device),
            batches=self.batches,
        )
