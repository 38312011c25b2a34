"""What the command line asks of a comparison, checked once."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mementum.lab import LabError


class RequestError(LabError):
    """An option asks for something that cannot be had."""


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

    An unknown name is answered with the nearest ones and the list.
    """
    if text is None:
        return tuple(known)
    asked = {name.strip() for name in text.split(",")} - {""}
    if not asked:
        raise RequestError(f"{option} names nothing; choose from {', '.join(known)}.")
    for name in sorted(asked - set(known)):
        raise RequestError(f"{option}: {name} is unknown.{nearest(name, known)}")
    return tuple(name for name in known if name in asked)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the sentences that lead from an unknown name to a known one."""
    folded = {each.lower(): each for each in known}
    close = [folded[match] for match in difflib.get_close_matches(name.lower(), folded)]
    question = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"{question} The lab knows {', '.join(known)}."


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
