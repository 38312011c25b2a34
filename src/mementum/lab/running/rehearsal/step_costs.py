"""What a step of each optimizer costs, measured in single runs of a task."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from mementum.lab.planning.contender import Contender
from mementum.lab.running import modifiers
from mementum.lab.running.loop import stepped
from mementum.lab.running.run_state import Progress
from mementum.lab.tasks.task import Task

_IDLE, _TIMED = 2, 9
"""Steps that make state and buckets, and those that are measured."""


def step_costs(task: Task, contenders: Sequence[Contender]) -> dict[str, float]:
    """Return the median seconds that a step of each takes, by its name.

    Each is measured inside `optimizer.step()`, after a backward pass of the task. A
    stack takes the steps of the family otherwise, so its times say nothing of that. A
    task with fewer steps, or one that diverges at once, is measured over what it has.
    """
    return {each.name: _median(task.fresh(), each) for each in contenders}


def _median(task: Task, contender: Contender) -> float:
    with contender.home(), task.session(0):
        options = contender.options_over(task.steps)
        build = contender.builder(contender.lr, options)
        made = modifiers.begin(task, 0, build, home=contender.home)
        run, seconds = Progress(), [0.0]
        for step in range(min(_IDLE + _TIMED, task.steps)):
            if not stepped(run, made, step):
                break
            seconds.append(run.optimizer_seconds)
    each = [after - before for before, after in itertools.pairwise(seconds)]
    return statistics.median(each[_IDLE:] or each or [0.0])
