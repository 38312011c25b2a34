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
from mementum.lab.running.stepping.device import PROCESSOR, Choice, alone
from mementum.machine import cores


def choose(
    workers: Whole | None,
    dask: str | None,
    files: Sequence[str | Path] = (),
    device: Choice = PROCESSOR,
) -> Executor:
    """Return what carries the runs out; `files` are the task files they need.

    Errors: `LabError` if it cannot be had.
    """
    address = arguments.cluster(dask, workers, files)
    if address is None:
        cards = device.cards()
        if not (count := number(workers, cards)):
            return InProcessExecutor(device=device)
        return LocalExecutor(count, places=[alone(device.kind, card) for card in cards])
    try:
        from mementum.lab.running.executors.dask import DaskExecutor
    except ModuleNotFoundError as error:
        raise ArgumentError(
            Argument("dask"), f" needs the dask extra: run {install.command('dask')}."
        ) from error
    return DaskExecutor(address)


def number(workers: Whole | None, cards: Sequence[int] = ()) -> int:
    """Return how many processes run at a time; 0: this one.

    Unless told it is one a card, or one a core where no cards are asked for.
    """
    count = arguments.workers(workers)
    if count is None:
        return len(cards) or cores()
    if cards and count > len(cards):
        raise ArgumentError(
            Argument("workers"),
            f" is {count}, and each has a card of its own, of which there are "
            f"{len(cards)}; give {len(cards)} or fewer.",
        )
    return count
