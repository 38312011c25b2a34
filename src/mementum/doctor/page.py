"""What the doctor's page is made of: facts, paragraphs, errors and findings."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

_WIDTH = 80
_LABEL = 17


class Finding(NamedTuple):
    """Something that is not right, and the way out."""

    problem: str
    remedy: str


def fact(label: str, value: str) -> str:
    """Return the line of a fact."""
    return f"{label:<{_LABEL}}{value}"


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


def wrong(error: float | str) -> str:
    """Return what a step does that is not right."""
    if isinstance(error, str):
        return f"fails ({error})"
    return f"errs by {error:.3g} units"
