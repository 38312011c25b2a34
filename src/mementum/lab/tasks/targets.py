"""The frozen targets: whose first crossing is timed, set once for a task as it stands.

They are kept in a file of the package, which `benchmarks/set_targets.py` writes and
which says how. No comparison ever changes them, whoever takes part in it.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mementum.lab.records.run import label

if TYPE_CHECKING:
    from mementum.lab.tasks.task import Task

_FILE = Path(__file__).with_name("targets.json")
_FORMAT = 1


class _Goal(NamedTuple):
    """What scores of a task are measured against; None where there is no such number.

    A task may have a target and no ends, or ends and no target: where training cannot
    improve the metric, a target would be reached before the first step.
    """

    target: float | None
    """The metric whose first crossing is timed."""
    untrained: float | None
    """The metric before training."""
    best: float | None
    """The metric that tuned SGD, Adam or AdamW reaches at the last step."""


@functools.cache
def frozen() -> dict[str, Any]:
    """Return the content of the file."""
    content: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    if content["format"] != _FORMAT:
        raise ValueError(f"{_FILE} has format {content['format']}, and not {_FORMAT}")
    return content


def goal(task: Task) -> _Goal:
    """Return the goal of a task: the frozen one, or what the task itself says.

    A frozen goal holds for one version, one number of steps and one set of data, under
    any schedule of the learning rate.
    """
    kept = frozen()["tasks"].get(task.name)
    if kept is None or (kept["version"], kept["steps"]) != (task.version, task.steps):
        return _Goal(task.target, task.untrained, task.best)
    if kept["data"] != task.data():
        return _Goal(task.target, task.untrained, task.best)
    return _Goal(kept["target"], kept["untrained"], kept["best"])


class NoiseCard(NamedTuple):
    """What a task can tell, as it was measured when the file was made.

    `spread` is the standard deviation of a paired difference on the task's scale,
    `effect` how many seeds see twice the margin, `equal` how many call equals equal.
    """

    spread: float
    effect: int
    equal: int
    ranks: bool


def noise(task: Task) -> NoiseCard | None:
    """Return the noise card of a task under its usual schedule, if it was measured."""
    words = label(task.name, task.usual_schedule)
    kept = frozen().get("noise", {}).get(words)
    if kept is None or (kept["version"], kept["steps"]) != (task.version, task.steps):
        return None
    return NoiseCard(**{name: kept[name] for name in NoiseCard._fields})


FAMILIES = {
    "counterexamples": ("reddi-periodic", "reddi-stochastic"),
    "quadratics": ("quad", "quad-turned"),
    "digits": ("mlp-digits", "resnet-digits"),
    "fashion": ("fashion-mlp", "fashion-conv"),
    "languages": ("lm-bytes", "lm-lstm", "text-kjv"),
    "tables": ("tabular", "tabular-diabetes"),
    "mnist": ("mnist-mlp", "mnist-cnn"),
}
"""The lab's own tasks that have the same data, the same rule or the same kind."""


def family(task: Task) -> str:
    """Return the family of a task: what it says itself, the lab's, or its own name."""
    known = {name: kin for kin, names in FAMILIES.items() for name in names}
    return task.family or known.get(task.name, task.name)
