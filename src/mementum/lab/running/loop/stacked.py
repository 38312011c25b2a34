"""Carries runs out as one stack: a batched loss, and each row's own optimizer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch

from mementum.lab.errors import LabError
from mementum.lab.planning.own import registry as contenders
from mementum.lab.records.run import CPU, RunSpec, Status
from mementum.lab.running import modifiers
from mementum.lab.running.run_state import Progress, RunState
from mementum.lab.running.stepping.closure import bearable, differentiable
from mementum.lab.running.stepping.kernel import KernelStepper
from mementum.lab.tasks.problem import Fed, Problem, StackedProblem
from mementum.lab.tasks.task import Task

Caught: TypeAlias = Callable[[Progress], AbstractContextManager[None]]
"""What an error of one row is raised in."""


def _raised(run: Progress) -> AbstractContextManager[None]:
    """Let an error of a row end them all."""
    return nullcontext()


def train_stack(
    runs: Sequence[Progress],
    specs: Sequence[RunSpec],
    task: Task,
    caught: Caught = _raised,
) -> None:
    """Train to the last step, each row until it diverges.

    No snapshots are kept: a parcel is short, and begins anew.
    """
    task = task.fresh()
    with task.session(specs[0].seed):
        made = StackedRuns(runs, specs, task, caught)
        grid = set(task.grid())
        for step in range(task.steps):
            if step in grid:
                made.evaluate(step)
            made.step(step)
        made.evaluate(task.steps)
        made.finish()


@dataclass
class _Row:
    """A run of a stack in the making."""

    spec: RunSpec
    run: Progress
    made: RunState
    begun: list[torch.Tensor]
    kernel: KernelStepper | None = None
    """What steps in the place of its optimizer."""
    live: bool = True

    def step(self, number: int) -> bool:
        """Change the parameters."""
        if self.kernel is None:
            self.made.stepper.step()
        else:
            self.kernel.step(number)
        return True


class StackedRuns:
    """The runs of a stack in the making."""

    def __init__(
        self,
        runs: Sequence[Progress],
        specs: Sequence[RunSpec],
        task: Task,
        caught: Caught = _raised,
    ) -> None:
        if task.stack is None:
            raise LabError(
                f"{task.name} has no stacked form here, and the run was planned with "
                "it; plan the comparison again."
            )
        self._task, self._caught = task, caught
        self.stack: StackedProblem = task.stack([spec.seed for spec in specs])
        self._rows = list[_Row]()
        for spec, run, problem in zip(specs, runs, self.stack.problems, strict=True):
            self._rows.append(_begun(spec, run, problem, task))
        self._whole = len(self._rows)
        self._all = [*self._rows]

    def evaluate(self, step: int) -> None:
        """Add a point to the curve of every row, as a single run does."""
        self._each(lambda row: row.run.evaluate(step, row.made))

    def step(self, number: int) -> list[float]:
        """Take a step with every row; return the losses before it."""
        if not any(row.live for row in self._rows):
            return []
        self._close_ranks()
        losses = differentiable(self.stack.loss(number))
        self.stack.backward(losses)
        values: list[float] = losses.tolist()
        self._watch()
        for row, loss in zip(self._rows, values, strict=True):
            if row.live and not bearable(loss, self._task.limit):
                row.live, row.run.status = False, Status.DIVERGED
        began = time.perf_counter()
        if number == 0:
            self._each(self._take_over)
        self._each(lambda row: row.step(number))
        share = (time.perf_counter() - began) / self._whole
        for row in self._all:
            row.run.optimizer_seconds += share
        return values

    def finish(self) -> None:
        """Say how the rows that came to the end have ended."""
        for row in self._all:
            if isinstance(row.made.problem, Fed):
                row.run.batches = row.made.problem.first_batches()
        self._each(self._finished)

    def _finished(self, row: _Row) -> bool:
        parameters = row.made.problem.parameters()
        row.made.closure.check_trained(row.begun, parameters, self._task.steps)
        row.run.status = Status.FINISHED
        return True

    def _take_over(self, row: _Row) -> bool:
        """Let the kernel step where it can; which gradients there are is known now."""
        if not contenders.of(row.spec).identity:
            row.kernel = KernelStepper.of(
                row.made.optimizer, row.spec.schedule, self._task.steps
            )
        return True

    def _each(self, act: Callable[[_Row], bool]) -> None:
        """Do something with each row that is left; one with which it fails is over."""
        for row in self._rows:
            if not row.live:
                continue
            row.live = False
            with self._caught(row.run):
                row.live = act(row)
                if not row.live:
                    row.run.status = Status.DIVERGED

    def _close_ranks(self) -> None:
        """Go on without the rows that are over, once they are the half of all."""
        left = [place for place, row in enumerate(self._rows) if row.live]
        if 2 * len(left) > len(self._rows):
            return
        self.stack.keep(left)
        self._rows = [self._rows[place] for place in left]
        for row in self._rows:
            if row.kernel is not None:
                row.kernel.point()

    def _watch(self) -> None:
        """See which rows have a gradient that is not zero."""
        for row in self._rows:
            closure = row.made.closure
            if row.live and not closure.moving:
                grads = (each.grad for each in row.made.problem.parameters())
                closure.moving = any(
                    bool((grad != 0).any()) for grad in grads if grad is not None
                )


def _begun(spec: RunSpec, run: Progress, problem: Problem, task: Task) -> _Row:
    """Return the run of a row at its start."""
    if spec.match_updates or spec.probe is not None:
        raise LabError(
            f"{spec.task_label} is planned as a stack, and matched updates and probes "
            "are for single runs; plan it as single."
        )
    if spec.device != CPU:
        raise LabError(
            f"{spec.task_label} is planned as a stack on {spec.device}, and stacks are "
            "for CPUs; plan it as single."
        )
    contender = contenders.of(spec)
    with contender.home():
        made = modifiers.begin(
            replace(task, start=lambda _: problem),
            spec.seed,
            contender.builder(spec.lr, spec.options),
            schedule=spec.schedule,
            home=contender.home,
        )
    if made.closed:
        raise LabError(
            f"{spec.contender} calls for the loss itself, which the rows of a stack "
            "have in common; plan the comparison in another folder."
        )
    parameters = problem.parameters()
    run.parameters = sum(each.numel() for each in parameters)
    return _Row(spec, run, made, [each.detach().clone() for each in parameters])
