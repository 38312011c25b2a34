"""How far a comparison has come, and how long the rest takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mementum.lab.planning.stages import expected
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord, RunSpec, Status

START = 4.0
"""Seconds until a worker has loaded torch and takes its first run."""


class Forecast:
    """Counts runs as they end, and corrects the planned costs by the measured ones."""

    def __init__(
        self,
        plan: Plan,
        left: Sequence[RunSpec],
        workers: int,
        now: Callable[[], float] = time.monotonic,
        kept: Iterable[RunRecord] = (),
    ) -> None:
        self.planned = {task.name: task.seconds for task in plan.tasks}
        known = Counter(spec.task_label for spec in plan.specs())
        self.total = expected(plan)
        self.left = self.total - known + Counter(spec.task_label for spec in left)
        self.workers = max(1, min(workers, self.left.total()))
        self.clock = now
        self.began = self.moved = now()
        self.ended: Counter[str] = Counter()
        self.spent: dict[str, float] = dict.fromkeys(self.planned, 0.0)
        self.status: Counter[Status] = Counter()
        for record in kept:
            self.measure(record)

    def count(self, record: RunRecord) -> None:
        """Take in the record of a run that has just ended."""
        self.left[record.spec.task_label] -= 1
        self.status[record.status] += 1
        self.measure(record)
        self.moved = self.clock()

    def measure(self, record: RunRecord) -> None:
        """Take in what a run of this or an earlier sitting cost."""
        if (
            record.status is not Status.FAILED
            and record.spec.task_label in self.planned
        ):
            self.ended[record.spec.task_label] += 1
            self.spent[record.spec.task_label] += record.seconds

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self.clock() - self.began

    def remaining(self) -> float:
        """Return the seconds that the runs left should still take.

        A task with measured runs costs their mean. The others cost what was planned,
        times the ratio of measured to planned so far. Until a run of this sitting has
        ended, nothing shows that the workers have come further than their start.
        """
        expected = sum(self.planned[task] * n for task, n in self.ended.items())
        ratio = sum(self.spent.values()) / expected if expected else 1.0
        work = sum(n * self.cost(task, ratio) for task, n in self.left.items())
        since = self.clock() - self.moved
        if work and not self.status:
            since = min(since, START) - START
        return max(0.0, work / self.workers - since)

    def cost(self, task: str, ratio: float) -> float:
        """Return the seconds of one run; the ratio is of measured to planned costs."""
        if self.ended[task]:
            return self.spent[task] / self.ended[task]
        return self.planned[task] * ratio

    def runs(self) -> tuple[int, int]:
        """Return how many runs of the plan are over, and how many it has."""
        total = self.total.total()
        return total - self.left.total(), total

    def summary(self) -> str:
        """Return the state in a line."""
        over, total = self.runs()
        parts = [f"{over} of {total} runs", f"{clock(self.elapsed())} elapsed"]
        if over < total:
            parts.append(f"about {clock(self.remaining())} left")
        unhappy = [self.status[Status.DIVERGED], self.status[Status.FAILED]]
        words = ["diverged", "failed"]
        parts += [f"{n} {word}" for n, word in zip(unhappy, words, strict=True) if n]
        return ", ".join(parts)


def clock(seconds: float) -> str:
    """Return minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def waiting(seconds: float) -> str:
    """Return a time to be waited for, to what one can say of it: "15 s", "4 min"."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60):,} h"
