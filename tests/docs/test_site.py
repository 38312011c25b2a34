"""The site is built without a warning, and says what it should."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from tests.trainers.pages import DOCS

pytestmark = pytest.mark.process
ROOT = DOCS.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a site that was built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    recipe = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    line = next(each for each in recipe.splitlines() if "-m sphinx" in each)
    words = line.replace("$(BIN)/python", sys.executable).split()
    places = {"build/docs": str(folder), "build/doctrees": str(folder / "doctrees")}
    done = subprocess.run(
        [places.get(word, word) for word in words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md")]
    pages += [path.relative_to(DOCS) for path in DOCS.rglob("*.rst")]
    assert not [
        page for page in pages if not (site / page.with_suffix(".html")).exists()
    ]


def test_docstrings_leave_no_markup_behind(site: Path) -> None:
    for page in (site / "api").glob("*.html"):
        text = page.read_text("utf-8")
        assert "<cite>" not in text, page
        assert 'class="problematic"' not in text, page
        assert ":param" not in text, page


def test_pages_hold_no_place_of_the_machine_that_built_them(site: Path) -> None:
    places = f"{ROOT}/", sysconfig.get_path("stdlib")
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert not [place for place in places if place in text], page


def test_without_a_url_in_pyproject_no_page_links_to_its_source(site: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    if "urls" in project:
        pytest.skip("pyproject.toml says where the project is.")
    assert "view-this-page" not in (site / "index.html").read_text("utf-8")
