"""The tasks and contenders that arguments name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, TypedDict, cast

from torch.optim import Optimizer

from mementum.lab import arguments
from mementum.lab.arguments import Argument, ArgumentError, Real
from mementum.lab.planning.contender import CONTENDERS, Contender
from mementum.lab.planning.names import is_source
from mementum.lab.planning.own.form import centred
from mementum.lab.planning.own.registry import plugged, register
from mementum.lab.planning.request import tasks_of
from mementum.lab.planning.schedule import SCHEDULES, under
from mementum.lab.tasks import registry
from mementum.lab.tasks.data.download import DataError
from mementum.lab.tasks.own import user_file
from mementum.lab.tasks.task import Task, Tier

__all__ = ["Named", "chosen_tasks", "rivals"]

Named: TypeAlias = str | Path | type[Optimizer]
"""The name of a contender, or an optimizer of the user's own."""


class _Rivals(TypedDict):
    """Who is compared, with whom."""

    contenders: list[Contender]
    reference: str


def rivals(
    names: Iterable[Named] | None,
    reference: Named,
    rates: Mapping[str, Real] | None = None,
) -> _Rivals:
    """Return the contenders in the lab's order, and the reference, which is of them.

    Among the names may be optimizers of one's own: classes, dotted paths and files.
    They come last. `rates` are the centres of their grids, by name.
    """
    asked = None if names is None else arguments.several("contenders", names)
    sources = [each for each in (*(asked or ()), reference) if is_source(each)]
    centres = {f"{name}".lower(): rate for name, rate in (rates or {}).items()}
    mine = register(sources, centres)
    packed = [centred(each, centres) for each in plugged().contenders]
    listed = {each.name: each for each in (*CONTENDERS, *packed, *mine)}
    for name in rates or {}:
        own = [each.name for each in (*packed, *mine)]
        if not own:
            raise ArgumentError(
                Argument("lr"), f" names {name}, and no contender is your own."
            )
        arguments.known_name("lr", name, own, "contender of your own")
    if is_source(reference):
        first = mine[-1].name
    else:
        name = cast("str", reference)
        first = arguments.known_name("reference", name, [*listed], "contender")
    if asked is None:
        plain = [each.name for each in CONTENDERS]
    else:
        plain = [cast("str", each) for each in asked if not is_source(each)]
    chosen = {first, *(each.name for each in mine)}
    if plain or not mine:
        chosen |= {*arguments.known_names("contenders", plain, [*listed], "contender")}
    return {
        "contenders": [each for name, each in listed.items() if name in chosen],
        "reference": first,
    }


def chosen_tasks(
    names: Iterable[str] | None,
    files: Iterable[str | Path] | None,
    tier: Tier,
    schedules: Iterable[str] | None,
    read: Callable[[Sequence[Path]], Sequence[Task]],
    device: str | None = None,
) -> tuple[list[Task], tuple[str, ...]]:
    """Return the tasks in a tier's size, and those of files, under the schedules.

    Where no task is named, those whose data cannot be had are left out, with a sentence
    for each of them.
    ``read`` returns the tasks of files; it comes last, as it runs their code. They have
    a device already.
    """
    chosen: Sequence[str] | None = None
    if schedules is not None:
        known = tuple(SCHEDULES)
        chosen = arguments.known_names("schedules", schedules, known, "schedule")
    sized = [replace(task, device=device) for task in registry.of_tier(tier)]
    listed = {task.name: task for task in sized}
    offered = {
        task.name: [each for each in Tier if task.at(each) is not None]
        for task in registry.offered()
    }
    paths = [] if files is None else arguments.several("files", files)
    usual = [task for task in listed.values() if tier not in task.named_only]
    tasks: list[Task] = [] if paths and names is None else usual
    if names is not None:
        tasks = [listed[name] for name in tasks_of(tier, names, offered)]
    had, left_out = (tasks, ()) if names is not None else _had(tasks)
    had += read(user_file.named([*map(str, paths)], offered.__contains__))
    subjects = [
        under(task, schedule)
        for task in had
        for schedule in (chosen or [task.usual_schedule])
    ]
    return subjects, left_out


def _had(tasks: Iterable[Task]) -> tuple[list[Task], tuple[str, ...]]:
    """Return the tasks whose data can be had, and a sentence for each of the others."""
    had, left_out = list[Task](), list[str]()
    for task in tasks:
        try:
            task.data()
        except DataError as error:
            left_out.append(f"{task.name} is left out: {error}")
        else:
            had.append(task)
    return had, tuple(left_out)
