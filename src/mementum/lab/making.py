"""A run in the making: the problem, its optimizer, and what is laid around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from torch.optim import Optimizer

from mementum.lab.task import Problem, Task


class Stepper(Protocol):
    """What the training loop needs of an optimizer."""

    def zero_grad(self) -> None:
        """Forget the gradients."""
        ...

    def step(self) -> object:
        """Change the parameters."""
        ...


@dataclass
class Making:
    """A problem at its start and the optimizer that will train it."""

    task: Task
    problem: Problem
    optimizer: Optimizer
    """The optimizer itself, whatever is laid around it."""
    stepper: Stepper
    """What the training loop calls."""


Modifier: TypeAlias = Callable[[Making], None]
"""Lays something around the problem or the optimizer."""
