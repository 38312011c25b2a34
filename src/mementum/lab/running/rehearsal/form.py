"""Which form of a task is the faster: measured, where it can be stacked at all."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from mementum.lab.planning.contender import Contender
from mementum.lab.records.run import STACKED, RunSpec
from mementum.lab.running.loop import StackedRuns
from mementum.lab.running.run_state import Progress
from mementum.lab.tasks.task import Task

_SEEDS, _ROWS = 4, 16
_OTHERS = range(3, 8), range(15, 16)
"""Rows that are tried in stacks of their own, where they are to be the same."""
_TIMED, _STEPS = 2, 8
_LONG = 0.05
"""Seconds of a step from which on the arithmetic is the cost: a stack saves none."""
CLOSE = 1e-4
"""How far the first loss of a row may be from that of a single run, as a share: the
sums are the same, in another order."""


def row_seconds(
    task: Task,
    contender: Contender,
    start: tuple[float, float],
    loss: float,
    step: float,
) -> float | None:
    """Return what a step of a row costs; None where runs are to be single.

    The single run's numbers are given: before training, in the first loss, and what a
    step costs. Runs are single where that is less, where `torch.vmap` refuses the code,
    where the first row is not as the single run, and where a row is not the same to the
    bit in another stack.
    """
    if step > _LONG:
        return None
    try:
        with task.session(0):
            brief = _Trial.of(task, contender, range(_ROWS), _TIMED)
            close = all(map(_close, (*brief.start, brief.losses[0][0]), (*start, loss)))
            if not close or brief.hidden or brief.seconds >= step * _ROWS:
                return None
            whole = _Trial.of(task, contender, range(_ROWS), _STEPS)
            same = all(
                _Trial.of(task, contender, rows, _STEPS).losses
                == [losses[rows.start : rows.stop] for losses in whole.losses]
                for rows in _OTHERS
            )
    except Exception:  # noqa: BLE001 - whatever it is, the single form has not raised it
        return None
    return min(brief.seconds, whole.seconds) / _ROWS if same else None


@dataclass(frozen=True)
class _Trial:
    """What came of a few steps of a stack."""

    start: tuple[float, float]
    """Of its first row."""
    losses: list[list[float]]
    """Of every row at each step."""
    seconds: float
    """What a step takes."""
    hidden: bool
    """Whether the model that all rows have in common keeps something of a step."""

    @classmethod
    def of(cls, task: Task, contender: Contender, rows: range, steps: int) -> _Trial:
        """Take the steps."""
        specs = [_spec(task, contender, seed=row * _SEEDS // _ROWS) for row in rows]
        made = StackedRuns([Progress() for _ in specs], specs, task.fresh())
        with torch.no_grad():
            start = made.stack.problems[0].evaluate()
        losses, seconds, kept = list[list[float]](), list[float](), list[str]()
        for step in range(min(steps, task.steps)):
            began = time.perf_counter()
            losses.append(made.step(step))
            seconds.append(time.perf_counter() - began)
            kept.append(made.stack.hidden())
        return cls(start, losses, min(seconds), len(set(kept[-2:])) > 1)


def _close(one: float, two: float) -> bool:
    return math.isclose(one, two, rel_tol=CLOSE)


def _spec(task: Task, contender: Contender, *, seed: int) -> RunSpec:
    return RunSpec(
        task=task.name,
        task_version=task.version,
        data="",
        contender=contender.optimizer_name,
        options=contender.options_over(task.steps),
        lr=contender.lr,
        seed=seed,
        steps=task.steps,
        versions=dict(contender.identity),
        form=STACKED,
    )
