"""Carries out runs in this very process."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from mementum.lab.records.run import STACKED, RunRecord, RunSpec
from mementum.lab.running import loop
from mementum.lab.running.executors.parcels import Parcel, cut
from mementum.lab.running.run_state import Progress
from mementum.lab.running.stepping.device import PROCESSOR, Choice, current
from mementum.lab.tasks.task import Task

_ALIKE = 1e-2
"""How far curves of one run may be apart that several threads have summed."""


class InProcessExecutor:
    """Carries out runs one after the other in this process.

    With a task of its own all runs are on it, whatever the lab knows by that name. What
    its code raises is raised as it is then, and torch's threads stay as they are.
    """

    workers = 1

    def __init__(self, task: Task | None = None, device: Choice = PROCESSOR) -> None:
        self.task = task
        self.device = device
        self.first: RunRecord | None = None
        """Of the runs on a task of its own, the first that was carried out."""

    def sitting(self) -> AbstractContextManager[object]:
        """Return nothing to keep: there are no workers."""
        return nullcontext()

    def results(self, specs: Sequence[RunSpec]) -> Generator[RunRecord, None, None]:
        """Carry out the runs in order."""
        for parcel in cut(specs, self.workers):
            if self.task is None:
                with current(self.device):
                    records = loop.execute_parcel(parcel)
                yield from records
            else:
                records = _trained(parcel, self.task)
                self.first = self.first or records[0]
                yield from records

    def repeats(self) -> bool:
        """Return whether the first run, made again after the others, is the same.

        It is to the bit on one thread; several sum in any order. Nothing is said of
        other devices.
        """
        if self.task is None or self.first is None:
            return True
        places = self.task.start(0).parameters()
        if any(each.device.type != "cpu" for each in places):
            return True
        (again,) = _trained((self.first.spec,), self.task)
        if again.curve.steps != self.first.curve.steps:
            return False
        tolerance = 0.0 if torch.get_num_threads() == 1 else _ALIKE
        return np.allclose(
            (again.curve.train, again.curve.validation),
            (self.first.curve.train, self.first.curve.validation),
            rtol=tolerance,
            atol=0.0,
            equal_nan=True,
        )


def _trained(parcel: Parcel, task: Task) -> list[RunRecord]:
    """Return the records of runs on this task; errors are raised as they are."""
    began = time.perf_counter()
    runs = [Progress() for _ in parcel]
    if parcel[0].form == STACKED:
        loop.train_stack(runs, parcel, task)
    else:
        loop.train(runs[0], parcel[0], task)
    seconds = (time.perf_counter() - began) / len(runs)
    return [run.record(spec, seconds) for run, spec in zip(runs, parcel, strict=True)]
