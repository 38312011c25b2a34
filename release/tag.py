"""End with an error unless a tag is the version: `python release/tag.py v0.1.0`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

INIT = Path(__file__).parents[1] / "src" / "mementum" / "__init__.py"


def version() -> str:
    """Return the version that the package says, without importing it."""
    found = re.search(r'^__version__ = "(.+)"$', INIT.read_text("utf-8"), re.MULTILINE)
    if found is None:
        sys.exit(f"{INIT} says no version.")
    return found[1]


if __name__ == "__main__":
    if sys.argv[1:] != [f"v{version()}"]:
        tag = " ".join(sys.argv[1:]) or "none"
        sys.exit(f"The tag is {tag}, and the version v{version()}.")
