"""Probes: what is measured of a run in the place of its task's metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch.optim import Optimizer

from mementum.lab.running.run_state import Modifier, RunState, Stepper
from mementum.lab.running.sharpness import Hessian, sizes
from mementum.lab.tasks.problem import Problem

EVERY = 5
"""Steps from one look at the training objective to the next."""
_EPS = 1e-8
"""Keeps a number that never had a gradient from dividing by zero."""
_LEVELS = {"mlp-digits": 0.2, "fashion-mlp-3k": 0.4}
"""The training objective at which sharpness is measured, by task."""


@runtime_checkable
class Smooth(Problem, Protocol):
    """A problem whose training objective can be differentiated."""

    def objective(self) -> torch.Tensor:
        """Return the training objective."""
        ...


class Sharpness:
    """Measures the sharpness once the training objective has come down to a level.

    Before, it is that of the start. A run that never gets there has none.
    """

    def __init__(self, inner: Smooth, level: float, steps: int, adaptive: bool) -> None:
        self.inner = inner
        self.level = level
        self.steps = steps
        self.adaptive = adaptive
        self.there = False
        self.taken = 0
        self.value = self.measure()

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return self.inner.parameters()

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step, after a look at the objective."""
        if not self.there and step % EVERY == 0:
            self.look()
        self.taken = step + 1
        return self.inner.loss(step)

    def evaluate(self) -> tuple[float, float]:
        """Return the training objective and the sharpness."""
        if self.taken == self.steps and not self.there:
            self.look()
            self.value = self.value if self.there else math.nan
        return self.inner.evaluate()[0], self.value

    def look(self) -> None:
        """Measure if the training objective is down at the level."""
        with torch.no_grad():
            self.there = float(self.inner.objective()) <= self.level
        if self.there:
            self.value = self.measure()

    @torch.enable_grad()
    def measure(self) -> float:
        """Return the sharpness at the present parameters."""
        parameters = self.inner.parameters()
        scale = sizes(parameters) if self.adaptive else None
        return Hessian(self.inner.objective(), parameters, scale).largest()


class _Remembered:
    """Compares the second moment of each step with that of an earlier one.

    ``change`` is its relative change at the last step. ``turn`` is one minus the cosine
    between the update and the update that the second moment of half the run would give:
    zero for momentum SGD with a fixed preconditioner.
    """

    def __init__(
        self, inner: Problem, optimizer: Optimizer, stepper: Stepper, steps: int
    ) -> None:
        self.inner = inner
        self.optimizer = optimizer
        self.stepper = stepper
        self.half = steps // 2
        self.taken = 0
        self.change = self.turn = 1.0
        self.fixed: list[torch.Tensor] = []

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.stepper.zero_grad()

    def step(self) -> None:
        """Take the step and compare."""
        before = [square.clone() for square in self.state("square")]
        self.stepper.step()
        after = self.state("square")
        self.taken += 1
        if before:
            old = _joined(before)
            self.change = float((_joined(after) - old).norm() / old.norm())
        if self.taken == self.half:
            self.fixed = [square.clone() for square in after]
        if self.fixed:
            momentum = _joined(self.state("momentum"))
            here = momentum / (_joined(after).sqrt() + _EPS)
            there = momentum / (_joined(self.fixed).sqrt() + _EPS)
            self.turn = 1 - float(torch.cosine_similarity(here, there, dim=0))

    def state(self, name: str) -> list[torch.Tensor]:
        """Return this part of the optimizer's state, parameter by parameter."""
        return [
            self.optimizer.state[parameter][name]
            for parameter in self.inner.parameters()
            if name in self.optimizer.state[parameter]
        ]


class _Shown:
    """A problem whose metric is a number of its optimizer."""

    def __init__(self, inner: Problem, watched: _Remembered, name: str) -> None:
        self.inner = inner
        self.watched = watched
        self.name = name

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return self.inner.parameters()

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        return self.inner.loss(step)

    def evaluate(self) -> tuple[float, float]:
        """Return the training objective and the number."""
        return self.inner.evaluate()[0], float(getattr(self.watched, self.name))


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return all numbers in one vector of float64."""
    return torch.cat([part.detach().double().flatten() for part in parts])


def _sharpness(*, adaptive: bool) -> Modifier:
    """Return the modifier that measures sharpness at a matched training objective."""

    def modify(run_state: RunState) -> None:
        task, problem = run_state.task, run_state.problem
        if task.name not in _LEVELS or not isinstance(problem, Smooth):
            known = ", ".join(_LEVELS)
            raise LookupError(f"sharpness is measured on {known}, not on {task.name}")
        run_state.problem = Sharpness(problem, _LEVELS[task.name], task.steps, adaptive)

    return modify


def _memory(name: str) -> Modifier:
    """Return the modifier that watches how the second moment changes."""

    def modify(run_state: RunState) -> None:
        watched = _Remembered(
            run_state.problem,
            run_state.optimizer,
            run_state.stepper,
            run_state.task.steps,
        )
        run_state.stepper = watched
        run_state.problem = _Shown(run_state.problem, watched, name)

    return modify


PROBES: dict[str, Modifier] = {
    "sharpness": _sharpness(adaptive=False),
    "adaptive": _sharpness(adaptive=True),
    "change": _memory("change"),
    "turn": _memory("turn"),
}
