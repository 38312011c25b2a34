"""Executors carry out runs somewhere and hand back their records."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from mementum.lab.errors import LabError
from mementum.lab.records.run import RunRecord, RunSpec

__all__ = ["Executor", "ExecutorError"]


class Executor(Protocol):
    """Somewhere to carry out runs."""

    workers: int
    """How many runs it carries out at a time, as far as it knows."""

    def sitting(self) -> AbstractContextManager[object]:
        """Return what keeps the workers from one call of `results` to the next."""
        ...

    def results(self, specs: Sequence[RunSpec]) -> Generator[RunRecord, None, None]:
        """Carry out the runs, taken up in this order, and yield each when it is done.

        Closing the iterator ends the runs under way.
        """
        ...


class ExecutorError(LabError):
    """No run can be carried out; the message says why."""
