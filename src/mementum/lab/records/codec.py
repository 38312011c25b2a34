"""What kind of value a field of a file may hold, checked once where it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A kind of value: how it is told, and what it is called."""

    fits: Callable[[Any], bool]
    words: str


def is_whole(value: object) -> bool:
    """Return whether the value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether the value is a finite number."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def each(fits: Callable[[object], bool], value: object) -> bool:
    """Return whether the value is a tuple or list of fitting values."""
    return isinstance(value, list | tuple) and all(map(fits, value))


def _is_option(value: object) -> bool:
    """Return whether the value can be a hyperparameter."""
    return isinstance(value, str | bool) or is_number(value) or each(is_number, value)


def table(fits: Callable[[object], bool], value: object) -> bool:
    """Return whether the value is a dict of fitting values."""
    return isinstance(value, dict) and all(map(fits, value.values()))


def is_text(value: object) -> bool:
    """Return whether the value is a string."""
    return isinstance(value, str)


TEXT = Kind(is_text, "a text")
WHOLE = Kind(is_whole, "a whole number")
NUMBER = Kind(is_number, "a number")
FLAG = Kind(lambda value: isinstance(value, bool), "true or false")
SCALE = Kind(lambda value: value in ("log", "linear"), '"log" or "linear"')
TEXT_OR_NONE = Kind(lambda v: v is None or is_text(v), "a text or null")
NUMBER_OR_NONE = Kind(lambda v: v is None or is_number(v), "a number or null")
TEXTS = Kind(lambda value: table(is_text, value), "a table of texts")
OPTIONS = Kind(lambda value: table(_is_option, value), "a table of hyperparameters")
WHOLES = Kind(lambda value: each(is_whole, value), "a list of whole numbers")
NUMBERS = Kind(
    lambda value: each(lambda v: isinstance(v, float) or is_whole(v), value),
    "a list of numbers",
)


def check(value: object, kinds: Mapping[str, Kind]) -> None:
    """Raise a ValueError for the first attribute that is not of its kind."""
    for name, kind in kinds.items():
        if not kind.fits(found := getattr(value, name)):
            raise ValueError(f"{name} is {json.dumps(found)[:40]}, not {kind.words}")
