"""Links in Markdown lead to files and headings that there are.

That is as the repository is read; of the site Sphinx checks them once more.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from tests.trainers.pages import DOCS

ROOT = DOCS.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
_CODE = re.compile(r"^(```+).*?^\1$|^    [^\n]*$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST name them."""
    text = re.sub(
        r"^(```+).*?^\1$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    found: list[str] = []
    for heading in _HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        again = sum(each == slug for each in found)
        found.append(slug)
        if again:
            found.append(f"{slug}-{again}")
    return set(found)


def links(text: str) -> list[str]:
    """Return where a page's links lead, what stands in code left out."""
    return [
        link
        for link in _LINK.findall(_CODE.sub("", text))
        if not link.startswith(("https:", "http:", "mailto:"))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page.read_text("utf-8")):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.is_relative_to(ROOT), f"{link} leaves the repository"
        assert target.exists(), f"{link}: there is no such file"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: there is no such heading"


def test_headings_of_a_page_have_names_of_their_own() -> None:
    assert "what-it-saves" in anchors(DOCS / "tutorials/bfloat16.md")
    assert "unmoved-noise_moved" in anchors(DOCS / "training/telemetry.md")


def test_links_in_code_are_none() -> None:
    assert links("see [a](b.md) and `[c](d.md)`\n\n    [e](f.md)\n") == ["b.md"]
