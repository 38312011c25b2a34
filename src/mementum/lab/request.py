"""What the command line asks of a comparison, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mementum.lab import LabError
from mementum.names import resolve
from mementum.recipes import RECIPES


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


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of ``mementum compare``, all of them possible."""

    tasks: tuple[str, ...]
    contenders: tuple[str, ...]
    """The reference among them."""
    reference: str
    seeds: int
    rates: int
    workers: int
    folder: Path
    page: Path


def whole(option: str, text: str) -> int:
    """Return the number of a counting option, 1 or more."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise RequestError(f"{option} is {text}; give a whole number, 1 or more.")
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


def known_name(option: str, name: str, known: Sequence[str]) -> str:
    """Return the known name that is meant, or raise with what leads to one."""
    listed = ", ".join(known)
    kind = "task" if option == "--tasks" else "contender"
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
