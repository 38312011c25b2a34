"""The executor that arguments ask for: this process, several, or a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mementum import install
from mementum.lab import arguments
from mementum.lab.arguments import Argument, ArgumentError, Whole
from mementum.lab.running.executors import Executor
from mementum.lab.running.executors.in_process import InProcessExecutor
from mementum.lab.running.executors.local import LocalExecutor
from mementum.machine import cores


def choose(
    workers: Whole | None, dask: str | None, files: Sequence[str | Path] = ()
) -> Executor:
    """Return what carries the runs out; `files` are the task files they need.

    Errors: `LabError` if it cannot be had.
    """
    count = number(workers)
    address = arguments.cluster(dask, workers, files)
    if address is None:
        return LocalExecutor(count) if count else InProcessExecutor()
    try:
        from mementum.lab.running.executors.dask import DaskExecutor
    except ModuleNotFoundError as error:
        raise ArgumentError(
            Argument("dask"), f" needs the dask extra: run {install.command('dask')}."
        ) from error
    return DaskExecutor(address)


def number(workers: Whole | None) -> int:
    """Return how many processes run at a time, one a core unless told; 0: this one."""
    return cores() if workers is None else arguments.whole("workers", workers, least=0)
