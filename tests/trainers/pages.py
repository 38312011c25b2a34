"""The programs in the pages of the documentation, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def program(page: str) -> str:
    """Return the Python of a page, its blocks one after another."""
    return "\n".join(blocks(page, "python"))


def blocks(page: str, language: str) -> list[str]:
    """Return a page's blocks of one language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    fence = rf"^```{language}\n(.*?)^```$"
    return re.findall(fence, text, re.DOTALL | re.MULTILINE)


def run(page: str, **names: Any) -> dict[str, Any]:
    """Run a page's program with the names that it takes as the reader's own."""
    return run_text(page, program(page), **names)


def run_text(page: str, text: str, **names: Any) -> dict[str, Any]:
    """Run a program of a page."""
    space = {"__name__": page, **names}
    exec(compile(text, page, "exec"), space)
    return space
