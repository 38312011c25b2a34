"""What the doctor's page is made of: facts, paragraphs, errors and findings."""

from __future__ import annotations

import json
import math
import textwrap
from typing import Any, NamedTuple

_WIDTH = 80
_LABEL = 17


class Finding(NamedTuple):
    """Something that is not right, and the way out."""

    problem: str
    remedy: str


class Page:
    """What is found: printed at once as text, or kept and printed at last as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self.data: dict[str, Any] = {}
        self._as_json = as_json

    def say(self, text: str = "") -> None:
        """Print a line or more, where the page is text."""
        if not self._as_json:
            # At once: what is looked at next may end the process.
            print(text, flush=True)

    def close(self) -> None:
        """Print the data, where the page is JSON."""
        if self._as_json:
            print(json.dumps(self.data, indent=1, allow_nan=False))


def fact(label: str, value: str) -> str:
    """Return the line of a fact, or its lines; a path too long for them stands alone.

    >>> print(fact("kernel", "/" + 70 * "a"))
    kernel
      /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    """
    room = _WIDTH - _LABEL
    if any(len(word) > room for word in value.split()):
        return f"{label}\n{filled(value, '  ')}"
    lines = textwrap.wrap(value, room, break_on_hyphens=False)
    return f"{label:<{_LABEL}}" + f"\n{'':<{_LABEL}}".join(lines)


def filled(text: str, indent: str = "") -> str:
    """Return a paragraph, cut into lines."""
    # A path that is broken in two cannot be copied.
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + " " * 3 * text[:1].isdigit(),
        break_long_words=False,
        break_on_hyphens=False,
    )


def cell(error: float | str, allowed: float) -> str:
    """Return a step's error, in units in the last place, as a table shows it."""
    if isinstance(error, str):
        return "FAILS"
    return f"{error:.2f}" if error <= allowed else f"WRONG {error:.3g}"


def plain(error: float | str) -> float | str:
    """Return a step's error as JSON can hold it: a number, or why there is none."""
    if isinstance(error, str) or math.isfinite(error):
        return error
    return "the step's end is no number"


def wrong(error: float | str) -> str:
    """Return what a step does that is not right."""
    if isinstance(error, str):
        return f"fails ({error})"
    return f"errs by {error:.3g} units"
