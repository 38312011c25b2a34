"""What a hyperparameter may be, and what to say when it is not."""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any


def number(
    name: str, value: Any, *, low: float = 0, below: float = math.inf, wants: str
) -> float:
    """Return `value` as a float in ``[low, below)``, or say what it `wants`.

    Errors: `TypeError` if `value` is no number, `ValueError` if it lies outside, or
    is a tensor or an array of other than one element.
    """
    if isinstance(value, str | bytes | bool):
        raise TypeError(f"{name} is {value!r}; {wants}")
    try:
        # A tensor that wants a gradient would warn that a float has none.
        plain = float(value.detach() if hasattr(value, "detach") else value)
    except OverflowError:
        plain = math.inf
    except (TypeError, ValueError, RuntimeError):
        one = math.prod(getattr(value, "shape", ())) == 1
        kind = TypeError if one else ValueError
        raise kind(f"{name} is {value!r}; {wants}") from None
    if low <= plain < below:
        return plain
    raise ValueError(f"{name} is {plain}; {wants}")


def learning_rate(value: Any) -> float:
    """Return a learning rate: finite and not negative."""
    wants = "it wants a finite number of at least 0, or a tensor of one element."
    return number("lr", value, wants=wants)


def epsilon(value: Any) -> float:
    """Return an eps: finite and not negative."""
    wants = "it wants a finite number of at least 0, such as 1e-8."
    return number("eps", value, wants=wants)


def decay(value: Any) -> float:
    """Return a weight decay: finite and not negative."""
    wants = "it wants a finite number of at least 0. To grow weights, use maximize."
    return number("weight_decay", value, wants=wants)


def fraction(name: str, value: Any) -> float:
    """Return the share of the past that a running mean keeps: in [0, 1)."""
    wants = "it is the share of the past that is kept: from 0 to below 1, such as 0.9."
    return number(name, value, below=1, wants=wants)


def growth(name: str, value: Any) -> float:
    """Return the rate at which a memory grows; a decaying memory's beta is refused."""
    wants = (
        "AdaX grows its memory and wants about 1e-4, and below 0.5. "
        "For a decaying memory use AdamW."
    )
    return number(name, value, below=0.5, wants=wants)


def slow_growth(name: str, value: Any) -> float:
    """Return AdamNX's beta; AdaX's, which freezes the memory at once, is refused."""
    wants = (
        "AdamNX wants about 0.99, and from 0.1 to below 1. "
        "For a number such as 1e-4 use AdaX."
    )
    return number(name, value, low=0.1, below=1, wants=wants)


def switch(name: str, value: Any) -> bool:
    """Return `value` if it is True or False."""
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} is {value!r}; it is True or False.")


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return the two numbers of a sequence, of whatever kind it is."""
    if hasattr(value, "__getitem__") and not isinstance(value, str | bytes | Mapping):
        with contextlib.suppress(TypeError, ValueError):
            first, second = value
            return first, second
    raise TypeError(f"{name} is {value!r}; it wants two numbers, such as (0.9, 0.999).")


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of the `allowed` words."""
    if isinstance(value, str) and value in allowed:
        return value
    words = ", ".join(repr(word) for word in allowed)
    raise ValueError(f"{name} is {value!r}; it is one of {words}.")


def resolve(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the known name that `name` is, whatever its case.

    Errors: `ValueError` with the nearest names, or with all of them.
    """
    by_lower = {each.lower(): each for each in known}
    found = by_lower.get(name.strip().lower())
    if found is not None:
        return found
    raise ValueError(f"no {kind} is named {name!r}; {nearest(name, by_lower.values())}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a clause that asks for the names nearest to one, or says all of them."""
    known = [*known]
    if found := near(name, known):
        return f"did you mean {' or '.join(found)}?"
    return "there are " + ", ".join(known) + "."


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return the names that may be meant by one, the nearest first; at most three."""
    by_lower = {each.lower(): each for each in known}
    asked = name.strip().lower()
    found = difflib.get_close_matches(asked, by_lower, n=3, cutoff=0.5)
    # An anagram is a slip of the fingers, whatever the ratio of letters says.
    found.sort(key=lambda each: sorted(each) != sorted(asked))
    return [by_lower[each] for each in found]
