"""Specs and instant runs, for tests of what carries runs out and keeps them.

The functions that stand in for training are found by their names in worker processes.
"""

import functools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mementum.lab.records.run import Curve, RunRecord, RunSpec, Status


def spec(
    *,
    task: str = "instant",
    contender: str = "AdamW",
    lr: float = 0.001,
    seed: int = 0,
    data: str = "00",
) -> RunSpec:
    return RunSpec(
        task=task,
        task_version=1,
        data=data,
        contender=contender,
        options={"betas": [0.9, 0.999], "eps": 1e-8},
        lr=lr,
        seed=seed,
        steps=10,
        versions={"mementum": "1", "torch": "2"},
    )


def record(
    spec: RunSpec,
    *,
    status: Status = Status.FINISHED,
    score: float | None = 0.5,
    error: str | None = None,
) -> RunRecord:
    return RunRecord(
        spec=spec,
        status=status,
        score=score if status is Status.FINISHED else None,
        curve=Curve(steps=(0, 10), train=(1.0, 0.25), validation=(1.0, 0.5)),
        seconds=0.5,
        optimizer_seconds=0.125,
        parameters=3,
        error=error,
        environment={"cpu": "paper"},
    )


def each(execute: Callable[[RunSpec], RunRecord]) -> Callable[..., object]:
    """Let a function of a run do parcels as well, run by run."""

    @functools.wraps(execute)
    def parcel(given: RunSpec | Sequence[RunSpec]) -> object:
        return execute(given) if isinstance(given, RunSpec) else [*map(execute, given)]

    return parcel


@each
def instant(spec: RunSpec) -> RunRecord:
    return record(spec, score=spec.seed + spec.lr)


@each
def of_process(spec: RunSpec) -> RunRecord:
    """Say by which process, whose words are in which order, and what it can begin."""
    context = multiprocessing.get_context("fork")
    child = context.Process(target=os.getpid)
    child.start()
    child.join()
    words = " ".join({"one", "two", "three", "four", "five"})
    told = {"process": str(os.getpid()), "words": words}
    return replace(instant(spec), environment=told)


@each
def of_modules(spec: RunSpec) -> RunRecord:
    """Say whether the process has loaded torch."""
    return replace(instant(spec), environment={"torch": str("torch" in sys.modules)})


@each
def killed_on_odd_seeds(spec: RunSpec) -> RunRecord:
    if spec.seed % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return instant(spec)


@each
def killed_once(spec: RunSpec) -> RunRecord:
    """Die at the first call for the spec, which leaves a mark in the folder `data`."""
    mark = Path(spec.data) / f"{spec.seed}"
    if spec.seed % 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return instant(spec)


@each
def endless_on_odd_seeds(spec: RunSpec) -> RunRecord:
    """Begin a run without end, after a mark of it in the folder `data`."""
    if spec.seed % 2:
        (Path(spec.data) / f"{spec.seed}").touch()
        time.sleep(3600)
    return instant(spec)


@each
def noted(spec: RunSpec) -> RunRecord:
    """Take a while, after a note in the folder `data` that the run begins."""
    with (Path(spec.data) / f"{spec.seed}").open("a") as notes:
        notes.write("begun\n")
    time.sleep(0.5)
    return instant(spec)


def unprepared() -> None:
    """Load nothing: instant runs need no torch."""


def killed_by_the_mark() -> None:
    """Die in the place of getting ready, as long as the file `MARKS` holds a mark."""
    marks = Path(os.environ["MARKS"])
    if left := marks.read_text():
        marks.write_text(left[1:])
        os.kill(os.getpid(), signal.SIGKILL)


class Unloadable:
    """A stand-in for training that no worker can load."""

    def __call__(self, spec: RunSpec) -> RunRecord:
        return instant(spec)

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


@each
def of_card(spec: RunSpec) -> RunRecord:
    """Say by which process, and which card it sees."""
    card = os.environ["CUDA_VISIBLE_DEVICES"]
    time.sleep(0.1)
    told = {"process": str(os.getpid()), "card": card}
    return replace(instant(spec), environment=told)


@each
def broken_card(spec: RunSpec) -> RunRecord:
    """Say by which process; a failure stays with it, as that of a card does."""
    failed = spec.seed % 2 == 1 or "BROKEN" in os.environ
    if failed:
        os.environ["BROKEN"] = "yes"
    status = Status.FAILED if failed else Status.FINISHED
    error = "device-side assert" if failed else None
    told = {"process": str(os.getpid())}
    return replace(record(spec, status=status, error=error), environment=told)
