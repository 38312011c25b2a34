"""The tasks the lab knows, in the order they are shown."""

from __future__ import annotations

from mementum.lab.task import Task
from mementum.lab.tasks.bytes import BYTES
from mementum.lab.tasks.digits import DIGITS
from mementum.lab.tasks.logreg import LOGREG
from mementum.lab.tasks.reddi import REDDI

TASKS: tuple[Task, ...] = (REDDI, LOGREG, DIGITS, BYTES)


def find(name: str) -> Task:
    """Return the task of this name; a name the lab does not know is a LookupError."""
    for task in TASKS:
        if task.name == name:
            return task
    raise LookupError(f"the lab knows no task named {name!r}")
