"""Turns specs into records, whatever happens on the way."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch

from mementum.lab.errors import LabError
from mementum.lab.records.run import STACKED, RunRecord, RunSpec, Status
from mementum.lab.running.loop.single import train
from mementum.lab.running.loop.stacked import train_stack
from mementum.lab.running.run_state import Progress
from mementum.lab.running.stepping.device import exact
from mementum.lab.tasks import registry
from mementum.lab.tasks.task import Task


def execute(spec: RunSpec) -> RunRecord:
    """Return the record of the run that the spec describes.

    It depends on the spec alone, times aside, whatever ran before in the process: one
    thread computes, and every random number comes from the seed's own streams. An
    exception becomes a failed record with its message.
    """
    (record,) = execute_parcel([spec])
    return record


def execute_parcel(specs: Sequence[RunSpec]) -> list[RunRecord]:
    """Return the records of a run by itself, or of runs that are one stack.

    Each is as `execute` returns it, whatever the others are. Of the time that they took
    together each has its share.
    """
    began = time.perf_counter()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    runs = [Progress() for _ in specs]
    try:
        with exact(), _failing(*runs):
            task = _checked(specs[0])
            if specs[0].form == STACKED:
                train_stack(runs, specs, task, _failing)
            else:
                train(runs[0], specs[0], task)
    finally:
        torch.set_num_threads(threads)
    seconds = (time.perf_counter() - began) / len(runs)
    return [run.record(spec, seconds) for run, spec in zip(runs, specs, strict=True)]


@contextmanager
def _failing(*runs: Progress) -> Generator[None, None, None]:
    """Let an exception be how these runs ended, unless they are over."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the record
        told = "" if isinstance(error, LabError) else f"{type(error).__name__}: "
        for run in runs:
            if run.status is not Status.DIVERGED and run.error is None:
                run.status, run.error = Status.FAILED, f"{told}{error}"


def _checked(spec: RunSpec) -> Task:
    """Return the spec's task, after comparing version, steps and data."""
    task = registry.find_any(spec.task, spec.steps)
    asked = spec.task_version, spec.steps, spec.data
    if asked[:2] != (task.version, task.steps):
        raise LabError(
            f"the run was planned for version {spec.task_version} of {spec.task} with "
            f"{spec.steps} steps, and here are version {task.version} and "
            f"{task.steps} steps; plan the comparison again."
        )
    if spec.data != task.data():
        raise LabError(
            f"the data of {spec.task} are others here than where the runs were "
            f"planned ({task.data()[:12]} and {spec.data[:12]}). If they follow the "
            "order of a set of texts, sort it, or let worker processes run it; else "
            "plan the comparison again."
        )
    return task
