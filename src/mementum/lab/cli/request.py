"""What the command line asks of a comparison, checked once.

Tasks are imported where they are needed: what only reads a folder needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from mementum.family.limits import resolve
from mementum.family.recipes import RECIPES
from mementum.lab.errors import LabError
from mementum.lab.planning.schedule import SCHEDULES
from mementum.lab.records.run import CONSTANT
from mementum.lab.tasks.task import Task, Tier


class RequestError(LabError):
    """An option asks for something that cannot be had."""


class Errand(Protocol):
    """Where runs are kept, and how many are carried out at a time."""

    @property
    def folder(self) -> Path:
        """The folder of the store."""
        ...

    @property
    def workers(self) -> int:
        """How many processes run."""
        ...

    @property
    def dask(self) -> str | None:
        """The address of a scheduler, in place of this machine's processes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of ``mementum compare``, all of them possible."""

    tier: Tier
    tasks: tuple[str, ...]
    """Names of the tier's tasks."""
    own: tuple[Task, ...]
    """The tasks of the user's files."""
    contenders: tuple[str, ...]
    """The reference among them."""
    reference: str
    seeds: int
    rates: int
    workers: int
    dask: str | None
    """The scheduler's address; None means the processes of this machine."""
    folder: Path
    page: Path
    trials: int = 0
    widen: int = 0
    schedules: tuple[str, ...] = (CONSTANT,)
    weight_decay: float | None = None
    """Everyone's; None leaves everyone's as published."""
    log: str | None = None


T = TypeVar("T")


def asked(option: str, text: str | None, usual: T, read: Callable[[str, str], T]) -> T:
    """Return what an option says, or what is usual where it is not given."""
    return usual if text is None else read(option, text)


def tier(option: str, text: str) -> Tier:
    """Return the tier of this name."""
    known = [each.value for each in Tier]
    try:
        return Tier(resolve("tier", text, known))
    except ValueError as error:
        answer = str(error)
    raise RequestError(f"{option}: {answer}")


def whole(option: str, text: str, *, least: int = 1) -> int:
    """Return the number of a counting option, 1 or more unless told."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise RequestError(f"{option} is {text}; give a whole number, {least} or more.")
    return number


def count(option: str, text: str) -> int:
    """Return the number of a counting option that may be 0."""
    return whole(option, text, least=0)


def decay(option: str, text: str) -> float:
    """Return a weight decay: 0 or more, and finite."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise RequestError(f"{option} is {text}; give a number, 0 or more.")
    return number


def odd(option: str, text: str) -> int:
    """Return the number of a counting option that must be odd."""
    number = whole(option, text)
    if number % 2 == 0:
        raise RequestError(
            f"{option} is {text}; give an odd number, as the grid has the published "
            "default in its middle."
        )
    return number


def own_tasks(paths: Sequence[str] | None) -> tuple[Task, ...]:
    """Return the tasks of the files given, each tried out."""
    from mementum.lab.tasks import registry, user_file

    known = {task.name for task in registry.offered()}
    return user_file.register(paths or (), known.__contains__)


def names(option: str, text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a comma-separated option in the lab's order; None means all.

    Names are taken in any case. An unknown one is answered with the nearest ones and
    the list.
    """
    if text is None:
        return tuple(known)
    asked = {name.strip() for name in text.split(",")} - {""}
    if not asked:
        raise RequestError(f"{option} names nothing; choose from {', '.join(known)}.")
    chosen = {known_name(option, name, known) for name in sorted(asked)}
    return tuple(name for name in known if name in chosen)


def task_names(text: str | None, tier: Tier) -> tuple[str, ...]:
    """Return the asked tasks of a tier.

    One that has no part in it is answered with the tiers it has a part in.
    """
    from mementum.lab.tasks import registry

    listed = [task.name for task in registry.of_tier(tier)]
    others = {task.name.lower(): task for task in registry.offered()}
    for name in (text or "").split(","):
        task = others.get(name.strip().lower())
        if task is not None and task.name not in listed:
            sizes = ", ".join(each for each in Tier if task.at(each) is not None)
            raise RequestError(
                f"--tasks: {task.name} has no part in tier {tier}; give --tier with "
                f"one of its own: {sizes}."
            )
    return names("--tasks", text, listed)


def schedule_names(option: str, text: str) -> tuple[str, ...]:
    """Return the schedules that are meant, in the lab's order."""
    return names(option, text, tuple(SCHEDULES))


def known_name(option: str, name: str, known: Sequence[str]) -> str:
    """Return the known name that is meant, or raise with what leads to one."""
    listed = ", ".join(known)
    kind = {"--tasks": "task", "--schedule": "schedule"}.get(option, "contender")
    try:
        return resolve(kind, name, known)
    except ValueError as error:
        answer = str(error)
    others = {each.lower(): each for each in RECIPES}
    if kind == "contender" and name.lower() in others:
        answer = f"{others[name.lower()]} is an optimizer here, but no contender."
    # Without a near name, the answer lists all names itself.
    if listed not in answer:
        answer += f" The lab knows {listed}."
    raise RequestError(f"{option}: {answer}")


def place(option: str, text: str) -> Path:
    """Return the folder of a comparison; an empty name is refused."""
    if not text.strip():
        raise RequestError(f"{option} is empty; name a folder, or . for this one.")
    return Path(text)


def cluster(
    address: str | None, workers: str | None, files: Sequence[str] | None
) -> str | None:
    """Return the address of the Dask cluster, which counts its workers itself."""
    if address is None:
        return None
    if not address.strip():
        raise RequestError("--dask is empty; give the scheduler's address.")
    if workers is not None:
        raise RequestError(
            f"--workers is {workers} and --dask {address}; --workers is for this "
            "machine, and a cluster has the workers it has."
        )
    if files:
        raise RequestError(
            f"--task is {files[0]} and --dask {address}; the workers do not have the "
            "file. Install the task on them as a package: docs/tasks.md says how."
        )
    return address


def page(text: str | None, folder: Path) -> Path:
    """Return where the page goes: the file asked for, or one in the folder."""
    if text is None:
        return folder / "report.html"
    path = Path(text)
    if path.is_dir():
        raise RequestError(f"--report is {text}, a folder; give a file.")
    if not path.parent.is_dir():
        raise RequestError(f"--report is {text}, and {path.parent} is no folder.")
    return path
