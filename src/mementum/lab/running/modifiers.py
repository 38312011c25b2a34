"""What is laid around an optimizer or a problem: schedules, matched updates, probes."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch.optim import Optimizer

from mementum.lab.planning.schedule import FACTORS, Factor
from mementum.lab.records.run import CONSTANT
from mementum.lab.running.probes import PROBES
from mementum.lab.running.run_state import RunState, Stepper
from mementum.lab.running.stepping.closure import (
    Closure,
    Losses,
    block,
    check_trainable,
)
from mementum.lab.running.stepping.own_optimizer import (
    Build,
    Home,
    stepper,
    to_training,
)
from mementum.lab.running.stepping.placement import place
from mementum.lab.tasks.task import Task


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
class _Matched:
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


def begin(
    task: Task,
    seed: int,
    build: Build,
    *,
    schedule: str = CONSTANT,
    match_updates: bool = False,
    probe: str | None = None,
    home: Home = nullcontext,
    device: str | None = None,
) -> RunState:
    """Return the run in the making; ``build`` makes the optimizer of a problem.

    Without a device the problem stays where it is made.
    """
    problem = task.start(seed)
    check_trainable(problem.parameters(), task.name, task.steps)
    if device is not None:
        place(problem, device)
    optimizer = build(problem)
    to_training(optimizer)
    closure = Closure(optimizer)
    losses = Losses(task.limit, block(problem.parameters()))
    run_state = RunState(
        task, problem, optimizer, optimizer, closure, task.scale, losses
    )
    if (own := stepper(build, optimizer, closure, home)) is not None:
        run_state.stepper = own
        run_state.closed = own.closure is not None
    if schedule != CONSTANT:
        factor = FACTORS[schedule]
        run_state.stepper = Scheduled(run_state.stepper, optimizer, factor, task.steps)
    if match_updates:
        run_state.stepper = _Matched(run_state.stepper, optimizer, problem.parameters())
    if probe is not None:
        run_state.scale = "linear"
        PROBES[probe](run_state)
    return run_state
