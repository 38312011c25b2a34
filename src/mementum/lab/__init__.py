"""The lab trains optimizers on real tasks, fairly tuned, and says which is better.

`plan` says what to run, `compare` carries it out and `read` finds it again;
`compare_model` does all of it for a model at hand. `mementum.lab.experiment` shows them
at work. The rest is for tasks that a package brings: docs/lab/tasks.md shows one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mementum import install
from mementum.lab.errors import LabError

if TYPE_CHECKING:
    from mementum.lab.experiment import (
        Comparison,
        compare,
        compare_model,
        plan,
        read,
    )
    from mementum.lab.tasks.problem import Problem
    from mementum.lab.tasks.task import Size, Task, Tier, digest, stream

__all__ = [
    "Comparison",
    "LabError",
    "Problem",
    "Size",
    "Task",
    "Tier",
    "compare",
    "compare_model",
    "digest",
    "plan",
    "read",
    "stream",
]

_OF_TASKS = ("Size", "Task", "Tier", "digest", "stream")
_ROOM = {"Problem": "tasks.problem"} | dict.fromkeys(_OF_TASKS, "tasks.task")


def __getattr__(name: str) -> Any:
    """Import what takes long only when it is asked for."""
    if name in __all__:
        room = _ROOM.get(name, "experiment")
        with install.needing(f"mementum.lab.{name}", "lab"):
            return getattr(import_module(f"mementum.lab.{room}"), name)
    raise AttributeError(f"module 'mementum.lab' has no attribute {name!r}")
