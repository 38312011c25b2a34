"""What a worker does with a run, in a process of this machine or of a cluster."""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from mementum.lab.records.run import Curve, RunRecord, RunSpec, Status
from mementum.lab.running.executors.parcels import Parcel

Execute = Callable[[Parcel], Sequence[RunRecord]]
Prepare = Callable[[], None]
Software = Callable[[], dict[str, str]]

_ONE_AT_A_TIME = threading.Lock()
"""Runs of one process share torch's number of threads, so they follow each other."""


@dataclass(frozen=True)
class Refusal:
    """A worker's answer where its software is not the driver's: it begins no run."""

    worker: str
    software: dict[str, str]


def carry_out(
    execute: Execute, software: Software, expected: dict[str, str], parcel: Parcel
) -> list[str] | Refusal:
    """Return the lines of the runs' records, the same that any executor comes to."""
    found = software()
    if found != expected:
        from distributed import get_worker

        return Refusal(get_worker().address, found)
    with _ONE_AT_A_TIME:
        return [record.to_json() for record in execute(parcel)]


def serve(
    pipe: Connection, execute: Execute, prepare: Prepare, start_method: str
) -> None:
    """Carry out the runs that come through the pipe, as long as the driver lives.

    A process of this machine begins here, with no more than ``prepare`` loads.
    """
    multiprocessing.set_start_method(start_method, force=True)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    # Loaders may have workers, which a daemon may not.
    multiprocessing.current_process().daemon = False
    prepare()
    pipe.send([])
    with suppress(EOFError):
        while True:
            pipe.send(execute(pipe.recv()))


def _end_with_driver() -> None:
    """Wait until the driver is gone, however it ended, and end this process."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def prepare() -> None:
    """Load what every run needs, before the first comes."""
    from mementum.lab.running.loop import warm_up
    from mementum.lab.user_code.module import silence

    silence()
    warm_up()


def train(parcel: Parcel) -> Sequence[RunRecord]:
    """Carry runs out on one thread, whatever the worker's own settings are."""
    import torch

    from mementum.lab.running.loop import execute_parcel

    torch.set_num_threads(1)
    return execute_parcel(parcel)


@functools.cache
def software() -> dict[str, str]:
    """Return what must be equal here and there: versions and the lab's own code."""
    import mementum
    from mementum.lab.running.versions import source_digest, versions

    return {
        **versions(),
        "lab": source_digest(map(Path, mementum.__path__), ["lab/**/*.py"]),
    }


def lost(spec: RunSpec, error: str, environment: dict[str, str]) -> RunRecord:
    """Return the failed record of a run."""
    return RunRecord(
        spec=spec,
        status=Status.FAILED,
        score=None,
        curve=Curve(steps=(), train=(), validation=()),
        seconds=0.0,
        optimizer_seconds=0.0,
        parameters=0,
        error=error,
        environment=environment,
    )
