"""What an argument may be, said once for Python and for the command line.

Each function takes an argument's name and its value, as Python or a command line has
it, and returns what is meant. What cannot be is answered with one sentence; the command
line spells the names in it as options. No torch is needed.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias, TypeVar

from mementum.family.limits import resolve
from mementum.family.recipes import RECIPES
from mementum.lab.errors import LabError

__all__ = [
    "AUTO",
    "MOST",
    "RATES",
    "SEEDS",
    "STEPS",
    "Argument",
    "ArgumentError",
    "Real",
    "UnknownNameError",
    "Whole",
    "allowed",
    "cluster",
    "device",
    "duration",
    "file",
    "folder",
    "function",
    "known_name",
    "known_names",
    "odd",
    "real",
    "repeatable",
    "several",
    "shown",
    "whole",
    "workers",
]

_T = TypeVar("_T")

Whole: TypeAlias = int | str
"""A whole number, or its digits as a command line has them."""
Real: TypeAlias = float | str
"""A number, or its digits."""


class Argument(str):
    """The name of an argument, inside a sentence."""

    __slots__ = ()


class ArgumentError(LabError):
    """An argument is what it cannot be; the message says what is allowed."""

    def __init__(self, *words: str) -> None:
        super().__init__("".join(words))
        self.words = words

    def spelled(self, spelling: Mapping[str, str]) -> str:
        """Return the sentence with the names of arguments as they are spelled."""
        return "".join(
            spelling.get(word, word) if isinstance(word, Argument) else word
            for word in self.words
        )


class UnknownNameError(ArgumentError, LookupError):
    """A name that the lab does not know."""


MOST = 1000
"""Of what is counted: workers, trials, times that a grid is widened."""
SEEDS = 10_000
RATES = 101
"""More would reach further than numbers do."""
STEPS = 10**9
AUTO = "auto"
"""The device that is chosen where the lab runs."""
_DEVICES = ("cpu", "cuda", "xpu", "mps", AUTO)
_SINGLE = ("cpu", "mps", AUTO)
"""Devices that have no numbers."""


def shown(value: object) -> str:
    """Return a value as a sentence shows it: in one short line, whatever it is."""
    try:
        text = " ".join(str(value).split())
    except Exception:  # noqa: BLE001 - a number with too many digits, or anything
        text = f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_SHOWN = 80


def whole(name: str, value: Whole, *, least: int = 1, most: int = MOST) -> int:
    """Return a whole number from `least` to `most`; neither 2.0 nor True is one."""
    try:
        text = isinstance(value, str) and "_" not in value
        number = int(value) if text else operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = least - 1
    if number < least or isinstance(value, bool):
        raise ArgumentError(
            Argument(name),
            f" is {shown(value)}; give a whole number, {least} or more.",
        )
    if number > most:
        raise ArgumentError(
            Argument(name),
            f" is {shown(value)}; give a whole number, {least} or more, and at most "
            f"{most:,}.",
        )
    return number


def workers(value: Whole | None) -> int | None:
    """Return how many processes run at a time, 0 for this one; None is left open."""
    return None if value is None else whole("workers", value, least=0)


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def duration(name: str, value: str | Real) -> float:
    """Return seconds above 0: of a number, or of "90s", "10m", "1.5h"."""
    found = re.fullmatch(r"\s*([0-9.]+)\s*([smh]?)\s*", f"{value}")
    seconds = math.nan
    if found is not None and not isinstance(value, bool):
        with suppress(ValueError):
            seconds = float(found[1]) * _UNITS[found[2]]
    if not 0 < seconds < math.inf:
        raise ArgumentError(
            Argument(name),
            f" is {shown(value)}; give a time above 0, as 90s, 10m or 1.5h.",
        )
    return seconds


def odd(name: str, value: Whole) -> int:
    """Return an odd number, 1 or more: that of the learning rates on a grid."""
    number = whole(name, value, most=RATES)
    if number % 2 == 0:
        raise ArgumentError(
            Argument(name),
            f" is {value}; give an odd number, as the grid has the published default "
            "in its middle.",
        )
    return number


def real(name: str, value: Real) -> float:
    """Return a finite number, 0 or more."""
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf or isinstance(value, bool):
        raise ArgumentError(
            Argument(name), f" is {shown(value)}; give a number, 0 or more."
        )
    return number


def allowed(name: str, value: str, words: Sequence[str]) -> str:
    """Return the value if it is one of a few words."""
    if value in words:
        return value
    listed = " or ".join(f'"{word}"' for word in words)
    raise ArgumentError(Argument(name), f" is {value!r}; give {listed}.")


def device(name: str, value: str) -> tuple[str, int | None]:
    """Return a kind of device, and which one of it where the value has a number."""
    kind, colon, index = shown(value).lower().partition(":")
    numbered = index.isdecimal() and kind not in _SINGLE
    if kind not in _DEVICES or (colon and not numbered):
        raise ArgumentError(
            Argument(name),
            f" is {shown(value)}; give cpu, cuda, xpu, mps or auto, and a number for "
            "one of several, as in cuda:1.",
        )
    return kind, int(index) if colon else None


def function(name: str, value: object, way_out: str) -> None:
    """Refuse what cannot be called; a class in the place of its module is refused."""
    if not callable(value) or isinstance(value, type):
        raise ArgumentError(Argument(name), f" is {shown(value)}; {way_out}.")


def repeatable(name: str, value: object) -> None:
    """Refuse what holds no batches, or can be gone through only once."""
    if isinstance(value, str | type) or not (
        hasattr(value, "__iter__") or hasattr(value, "__getitem__")
    ):
        raise ArgumentError(
            Argument(name),
            f" is {shown(value)}; give batches, such as a list or a DataLoader.",
        )
    if isinstance(value, Iterator):
        raise ArgumentError(
            Argument(name),
            f" is a {type(value).__name__}, which can be gone through only once, and "
            "every contender is to see the same batches; give what begins anew each "
            "time, such as the list or the DataLoader itself.",
        )


def file(name: str, value: str | Path) -> Path:
    """Return the path of a file that is there, from the root."""
    path = Path(value).resolve()
    if not path.is_file():
        raise ArgumentError(Argument(name), f" is {path}, and there is no such file.")
    return path


def folder(name: str, value: str | Path) -> Path:
    """Return the path of a folder; an empty name is refused."""
    if not isinstance(value, str | Path):
        raise ArgumentError(
            Argument(name), f" is {shown(value)}; give the path of a folder."
        )
    if not str(value).strip():
        raise ArgumentError(
            Argument(name), " is empty; name a folder, or . for this one."
        )
    # The database that keeps segments and tables knows no other paths.
    if "\0" in str(value) or not _is_unicode(str(value)):
        raise ArgumentError(
            Argument(name),
            f" is {str(value)!r}, with characters that are no text; name another.",
        )
    return Path(value)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= each <= "\udfff" for each in text)


def known_name(name: str, value: str, known: Sequence[str], kind: str) -> str:
    """Return the one known name that is meant, whatever its case."""
    listed = ", ".join(known)
    if not isinstance(value, str) or "," in value.strip(" ,"):
        raise ArgumentError(Argument(name), f" is {shown(value)}; give one name.")
    asked = value.strip(" ,")
    if not asked:
        raise ArgumentError(Argument(name), f" names nothing; choose from {listed}.")
    try:
        return resolve(kind, asked, known)
    except ValueError as error:
        answer = str(error)
    others = {each.lower(): each for each in RECIPES}
    if kind == "contender" and asked.lower() in others:
        answer = f"{others[asked.lower()]} is an optimizer here, but no contender."
    # Without a near name, the answer lists all names itself.
    if kind != "tier" and listed not in answer:
        answer += f" The lab knows {listed}."
    raise UnknownNameError(Argument(name), f": {answer}")


def several(name: str, values: Iterable[_T]) -> list[_T]:
    """Return the values of a list; a lone string would be taken for its letters."""
    if isinstance(values, str):
        raise ArgumentError(
            Argument(name), f" is {values!r}; give a list, such as [{values!r}]."
        )
    try:
        return [*values]
    except TypeError as error:
        raise ArgumentError(
            Argument(name), f" is {values!r}; give a list of names."
        ) from error


def known_names(
    name: str, values: Iterable[str], known: Sequence[str], kind: str
) -> tuple[str, ...]:
    """Return the known names that are meant, in the lab's order."""
    values = several(name, values)
    asked = [each for each in values if str(each).strip()]
    if not asked:
        listed = ", ".join(known)
        raise ArgumentError(Argument(name), f" names nothing; choose from {listed}.")
    chosen = {known_name(name, each, known, kind) for each in sorted(asked, key=str)}
    return tuple(each for each in known if each in chosen)


def cluster(
    address: str | None, workers: Whole | None, files: Sequence[str | Path]
) -> str | None:
    """Return the address of the Dask cluster, which counts its workers itself."""
    if address is None:
        return None
    dask = Argument("dask")
    if not isinstance(address, str) or not address.strip():
        raise ArgumentError(dask, " is empty; give the scheduler's address.")
    if workers is not None:
        count = Argument("workers")
        raise ArgumentError(
            *(count, f" is {workers} and ", dask, f" {address}; ", count),
            " is for this machine, and a cluster has the workers it has.",
        )
    if files:
        raise ArgumentError(
            *(Argument("files"), f" is {files[0]} and ", dask, f" {address}; "),
            "the workers do not have the file. Install the task on them as a package: "
            "docs/lab/tasks.md says how.",
        )
    return address
