"""Carries a run out by itself: builds the problem, trains it, follows its curve."""

from __future__ import annotations

import functools
import time

import torch

from mementum.lab.planning.own import registry as contenders
from mementum.lab.records.run import RunSpec, Status
from mementum.lab.running import modifiers
from mementum.lab.running.run_state import Progress, RunState
from mementum.lab.running.snapshot import Snapshots
from mementum.lab.tasks.problem import Fed
from mementum.lab.tasks.task import Task


def train(run: Progress, spec: RunSpec, task: Task) -> None:
    """Train to the last step, or until the run diverges.

    A run of which there are snapshots goes on from the last. What anybody's code draws
    is the same whenever the run is made.
    """
    contender, task = contenders.of(spec), task.fresh()
    with contender.home(), task.session(spec.seed):
        made = modifiers.begin(
            task,
            spec.seed,
            contender.builder(spec.lr, spec.options),
            schedule=spec.schedule,
            match_updates=spec.match_updates,
            probe=spec.probe,
            home=contender.home,
            device=spec.device,
        )
        parameters = made.problem.parameters()
        run.parameters = sum(each.numel() for each in parameters)
        begun = [each.detach().clone() for each in parameters]
        snapshots = Snapshots(spec, made)
        run.status = _follow(run, made, snapshots)
        if isinstance(made.problem, Fed):
            run.batches = made.problem.first_batches()
        if run.status is Status.FINISHED:
            made.closure.check_trained(begun, parameters, task.steps)
        snapshots.forget()


def _follow(run: Progress, made: RunState, snapshots: Snapshots) -> Status:
    """Take the steps that are left, and return how the run ended."""
    try:
        finished = _finishes(run, made, snapshots)
    except Exception:
        # After a divergence that nobody has seen yet, an error says nothing.
        if made.losses.bearable():
            raise
        finished = False
    return Status.FINISHED if finished else Status.DIVERGED


def _finishes(run: Progress, made: RunState, snapshots: Snapshots) -> bool:
    """Take the steps that are left; return whether none diverges.

    All losses are read before what stays of a run: a point of its curve, a snapshot.
    """
    task, losses = made.task, made.losses
    grid = set(task.grid())
    for step in range(snapshots.resume(run), task.steps):
        if step in grid and not losses.bearable():
            return False
        if not losses.unread:
            snapshots.keep(step, run)
        if step in grid and not run.evaluate(step, made):
            return False
        if not stepped(run, made, step):
            return False
    return losses.bearable() and run.evaluate(task.steps, made)


def stepped(run: Progress, made: RunState, step: int) -> bool:
    """Take a step; return whether the losses that are read are to go on from."""
    closure = made.closure
    closure.begin(functools.partial(made.problem.loss, step))
    if not made.closed:
        closure()
        if not made.losses.take(closure.values[0], step):
            return False
    began, within = time.perf_counter(), closure.seconds
    made.stepper.step()
    within = closure.seconds - within
    run.optimizer_seconds += time.perf_counter() - began - within
    return not made.closed or made.losses.take(closure.values[0], step)


def warm_up() -> None:
    """Pay once for what torch loads when the first optimizer of a process steps."""
    parameter = torch.nn.Parameter(torch.zeros(1, device="cpu"))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    parameter.square().sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
