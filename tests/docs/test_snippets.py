"""Each program of the first pages runs by itself, as a reader copies it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from tests.trainers.pages import DOCS

PAGES = (
    DOCS.parent / "README.md",
    *(DOCS / f"{name}.md" for name in ("index", "which_optimizer", "performance")),
)
BLOCK = re.compile(
    r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE
)
SNIPPETS = [
    pytest.param(program, says, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (program, says) in enumerate(BLOCK.findall(page.read_text("utf-8")))
]


@pytest.mark.parametrize(("program", "says"), SNIPPETS)
def test_a_snippet_runs_alone(
    program: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(program, "snippet", "exec"), {"__name__": "snippet"})
    if says:
        assert out.getvalue() == says


def test_every_first_page_has_a_snippet() -> None:
    pages = {str(snippet.id).rpartition("-")[0] for snippet in SNIPPETS}
    assert pages == {page.stem for page in PAGES}
