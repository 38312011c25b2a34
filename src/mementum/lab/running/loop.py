"""Carries a run out: builds the problem, trains it, follows its curve."""

from __future__ import annotations

import math
import time

import torch

from mementum.lab.errors import LabError
from mementum.lab.planning import contender
from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.running import modifiers
from mementum.lab.running.run_state import Progress, RunState
from mementum.lab.running.snapshot import Snapshots
from mementum.lab.tasks import registry
from mementum.lab.tasks.task import Task


def execute(spec: RunSpec) -> RunRecord:
    """Return the record of the run that the spec describes.

    It depends on the spec alone, times aside, whatever ran before in the process: one
    thread computes, and every random number comes from the seed's own streams. An
    exception becomes a failed record with its message.
    """
    began = time.perf_counter()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = Progress()
    try:
        train(run, spec, _checked(spec))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the record
        run.status = Status.FAILED
        told = "" if isinstance(error, LabError) else f"{type(error).__name__}: "
        run.error = f"{told}{error}"
    finally:
        torch.set_num_threads(threads)
    return run.record(spec, time.perf_counter() - began)


def _checked(spec: RunSpec) -> Task:
    """Return the spec's task, after comparing version, steps and data."""
    task = registry.find_any(spec.task, spec.steps)
    asked = spec.task_version, spec.steps, spec.data
    if asked != (task.version, task.steps, task.data()):
        raise ValueError(
            f"the run was planned for version {spec.task_version} of {spec.task} with "
            f"{spec.steps} steps and data {spec.data[:12]}; here are version "
            f"{task.version}, {task.steps} steps and data {task.data()[:12]}"
        )
    return task


def train(run: Progress, spec: RunSpec, task: Task) -> None:
    """Train to the last step, or until the run diverges.

    A run of which there are snapshots goes on from the last.
    """
    made = modifiers.begin(
        task,
        spec.seed,
        lambda parameters: contender.find(spec.contender).optimizer(
            parameters, spec.lr, spec.options
        ),
        schedule=spec.schedule,
        match_updates=spec.match_updates,
        probe=spec.probe,
    )
    run.parameters = sum(each.numel() for each in made.problem.parameters())
    snapshots = Snapshots(spec, made)
    run.status = _follow(run, made, snapshots)
    snapshots.forget()


def _follow(run: Progress, made: RunState, snapshots: Snapshots) -> Status:
    """Take the steps that are left, and return how the run ended."""
    task, problem = made.task, made.problem
    grid = set(task.grid())
    for step in range(snapshots.resume(run), task.steps):
        snapshots.keep(step, run)
        if step in grid and not run.evaluate(step, problem):
            return Status.DIVERGED
        made.stepper.zero_grad()
        loss = problem.loss(step)
        loss.backward()  # type: ignore[no-untyped-call]
        if not math.isfinite(value := loss.item()) or value > task.limit:
            return Status.DIVERGED
        began = time.perf_counter()
        made.stepper.step()
        run.optimizer_seconds += time.perf_counter() - began
    finished = run.evaluate(task.steps, problem)
    return Status.FINISHED if finished else Status.DIVERGED


def warm_up() -> None:
    """Pay once for what torch loads when the first optimizer of a process steps."""
    parameter = torch.nn.Parameter(torch.zeros(1, device="cpu"))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    parameter.square().sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
