"""Carries out runs in this very process."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from mementum.lab.records.run import RunRecord, RunSpec
from mementum.lab.running.loop import execute


class Here:
    """Carries out runs one after the other in this process."""

    workers = 1

    def results(self, specs: Sequence[RunSpec]) -> Generator[RunRecord, None, None]:
        """Carry out the runs in order."""
        for spec in specs:
            yield execute(spec)
