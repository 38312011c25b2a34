"""Names that people type, and the nearest ones when there is no such name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def resolve(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the known name that `name` is, whatever its case.

    Errors: `ValueError` with the nearest names, or with all of them.
    """
    by_lower = {each.lower(): each for each in known}
    found = by_lower.get(name.strip().lower())
    if found is not None:
        return found
    asked = name.strip().lower()
    near = difflib.get_close_matches(asked, by_lower, n=3, cutoff=0.5)
    # An anagram is a slip of the fingers, whatever the ratio of letters says.
    near.sort(key=lambda each: sorted(each) != sorted(asked))
    if near:
        hint = f"did you mean {' or '.join(by_lower[each] for each in near)}?"
    else:
        hint = "there are " + ", ".join(by_lower.values()) + "."
    raise ValueError(f"no {kind} is named {name!r}; {hint}")
