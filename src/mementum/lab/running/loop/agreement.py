"""The control of the two forms: a stack trains as single runs do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mementum.lab.records.plan import Plan
from mementum.lab.records.run import SINGLE, STACKED, RunSpec
from mementum.lab.running.loop.single import train
from mementum.lab.running.loop.stacked import train_stack
from mementum.lab.running.run_state import Progress
from mementum.lab.statistics import Control
from mementum.lab.tasks import registry
from mementum.lab.tasks.task import Task

STEPS = 20
TOLERANCE = 1e-5
"""Largest relative distance of the training objectives of the two forms: they differ
in the order of float32 sums, and 20 steps of that stay below 1e-6 where training is
stable."""


def agreement(plan: Plan) -> Control:
    """Train the reference in both forms, on the same seeds, on each stacked task.

    The lab's tasks are trained here. Those of files were compared in their rehearsal.
    """
    name = f"Single and stacked runs of {plan.reference} are the same"
    lab = {task.name for task in registry.TASKS}
    found = {
        spec.task_label: spec
        for spec in plan.runs
        if spec.form == STACKED
        and spec.contender_label == plan.reference
        and spec.lr == plan.centres.get(plan.reference, spec.lr)
        and spec.task in lab
    }
    if not found:
        words = "not made: it needs a task of the lab whose runs are stacked"
        return Control(name=name, passed=None, words=words)
    try:
        gaps = [
            distance(registry.find(spec.task, spec.steps), spec)
            for spec in found.values()
        ]
    except Exception as error:  # noqa: BLE001 - data may be missing where one reads
        words = f"not made: {type(error).__name__}: {error}"
        return Control(name=name, passed=None, words=words)
    many = f"{len(gaps)} task{'' if len(gaps) == 1 else 's'}"
    return Control(
        name=name,
        passed=max(gaps) <= TOLERANCE,
        words=f"largest relative distance of training objectives after {STEPS} steps "
        f"on {many} {max(gaps):.1e}, allowed {TOLERANCE:.0e}",
    )


def distance(task: Task, spec: RunSpec) -> float:
    """Return how far the two forms of a run are apart after some steps, as a share."""
    short = replace(task, steps=min(STEPS, task.steps), evaluations=2)
    specs = [replace(spec, seed=seed) for seed in (0, 1)]
    rows, alone = [Progress(), Progress()], [Progress(), Progress()]
    train_stack(rows, specs, short)
    for run, each in zip(alone, specs, strict=True):
        train(run, replace(each, form=SINGLE), short)
    one, two = (np.array([run.train for run in runs]) for runs in (rows, alone))
    return float(np.abs(one - two).max() / np.abs(two).max())
