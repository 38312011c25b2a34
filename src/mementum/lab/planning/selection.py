"""The tasks and contenders that arguments name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from mementum.lab import arguments
from mementum.lab.arguments import Argument, UnknownNameError
from mementum.lab.planning.contender import CONTENDERS, Contender
from mementum.lab.planning.schedule import SCHEDULES, under
from mementum.lab.planning.tiers import SPENDING
from mementum.lab.tasks import registry, user_file
from mementum.lab.tasks.task import Task, Tier

__all__ = ["chosen_tasks", "rivals"]


class _Rivals(TypedDict):
    """Who is compared, with whom."""

    contenders: list[Contender]
    reference: str


def rivals(names: Iterable[str] | None, reference: str) -> _Rivals:
    """Return the contenders in the lab's order, and the reference, which is of them."""
    known = [each.name for each in CONTENDERS]
    first = arguments.known_name("reference", reference, known, "contender")
    chosen = known
    if names is not None:
        chosen = [
            first,
            *arguments.known_names("contenders", names, known, "contender"),
        ]
    return {
        "contenders": [each for each in CONTENDERS if each.name in chosen],
        "reference": first,
    }


def chosen_tasks(
    names: Iterable[str] | None,
    files: Iterable[str | Path] | None,
    tier: Tier,
    schedules: Iterable[str] | None,
) -> list[Task]:
    """Return the tasks in a tier's size, and those of files, under the schedules."""
    chosen = SPENDING[tier].schedules
    if schedules is not None:
        known = tuple(SCHEDULES)
        chosen = arguments.known_names("schedules", schedules, known, "schedule")
    listed = {task.name: task for task in registry.of_tier(tier)}
    offered = {task.name.lower(): task for task in registry.offered()}
    paths = [] if files is None else arguments.several("files", files)
    tasks: list[Task] = [] if paths and names is None else [*listed.values()]
    if names is not None:
        names = arguments.several("tasks", names)
        for name in names:
            task = offered.get(f"{name}".strip().lower())
            if task is not None and task.name not in listed:
                raise _no_part(task, tier)
        asked = arguments.known_names("tasks", names, tuple(listed), "task")
        tasks = [listed[name] for name in asked]
    taken = {task.name for task in offered.values()}
    tasks += user_file.register([*map(str, paths)], taken.__contains__)
    return [under(task, schedule) for task in tasks for schedule in chosen]


def _no_part(task: Task, tier: Tier) -> UnknownNameError:
    sizes = ", ".join(each for each in Tier if task.at(each) is not None)
    return UnknownNameError(
        *(Argument("tasks"), f": {task.name} has no part in tier {tier}; give "),
        *(Argument("tier"), f" with one of its own: {sizes}."),
    )
