"""Tasks of installed packages: entry points of the group ``mementum.tasks``."""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from mementum.lab.tasks.task import Task

GROUP = "mementum.tasks"


class _Plugged(NamedTuple):
    """What the packages bring."""

    tasks: tuple[Task, ...]
    complaints: tuple[str, ...]
    """A sentence for each entry point that brings no task."""


@functools.cache
def plugged(taken: tuple[str, ...]) -> _Plugged:
    """Return the tasks of the packages; names that are taken stay with their owners.

    A package that is broken is complained of and keeps nobody from the other tasks.
    """
    names, found, complaints = set(taken), list[Task](), list[str]()
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        try:
            task = _loaded(point, names)
        except Exception as error:  # noqa: BLE001 - another's code may raise anything
            package = point.dist.name if point.dist else point.value
            complaints.append(
                f"The task {point.name} of the package {package} is left out: "
                f"{type(error).__name__}: {error}."
            )
        else:
            names.add(task.name)
            found.append(task)
    return _Plugged(tuple(found), tuple(complaints))


def _loaded(point: EntryPoint, taken: set[str]) -> Task:
    """Return the task that an entry point names."""
    task = point.load()
    if not isinstance(task, Task):
        raise TypeError(f"{point.value} is {type(task).__name__}, no mementum task")
    if task.name in taken:
        raise ValueError(f"there is a task named {task.name} already")
    return task
