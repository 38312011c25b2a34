"""What tells others of the project agrees with the project."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import mementum
from mementum.family.recipes import RECIPES

ROOT = Path(__file__).parents[1]
yaml = pytest.importorskip("yaml")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FRAGMENTS = sorted({*ROOT.glob("changes/*")} - {ROOT / "changes" / "README.md"})
FORMS = sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml"))


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = read("CITATION.cff")
    assert citation["version"] == mementum.__version__
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["authors"] == PROJECT["project"]["authors"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_paper_of_every_recipe_is_cited(name: str) -> None:
    cited = {
        each["url"].rpartition("/")[2] for each in read("CITATION.cff")["references"]
    }
    found = re.search(r"arXiv:(\d+\.\d+)", RECIPES[name].paper)
    assert found is None or found[1] in cited


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_something(path: Path) -> None:
    form = read(str(path.relative_to(ROOT)))
    if path.stem == "config":
        return
    ids = [each["id"] for each in form["body"]]
    assert len({*ids}) == len(ids)
    assert all(each["attributes"]["label"] for each in form["body"])
    assert any(each.get("validations", {}).get("required") for each in form["body"])


@pytest.mark.skipif(not FORMS, reason="a source distribution has no forms")
def test_who_reports_a_fault_is_asked_for_the_doctors_words() -> None:
    asked = {
        each["id"]: each for each in read(".github/ISSUE_TEMPLATE/bug.yml")["body"]
    }
    assert "mementum doctor --json" in asked["doctor"]["attributes"]["label"]
    assert asked["doctor"]["validations"]["required"]


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_is_of_a_kind(path: Path) -> None:
    kinds = {each["directory"] for each in PROJECT["tool"]["towncrier"]["type"]}
    assert re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(sorted(kinds))})\.md", path.name)
    assert re.match(r"[A-Z`].*\.\n$", path.read_text("utf-8"), re.DOTALL)


def test_the_kinds_are_those_that_contributors_are_told() -> None:
    kinds = {each["directory"] for each in PROJECT["tool"]["towncrier"]["type"]}
    told = (ROOT / "changes" / "README.md").read_text("utf-8")
    assert {*re.findall(r"^\| `(\w+)` \|", told, re.MULTILINE)} == kinds


def test_a_release_would_say_every_fragment() -> None:
    pytest.importorskip("towncrier")
    words = ["towncrier", "build", "--draft", "--version", "9.9.9", "--date", "today"]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "## 9.9.9, today" in done.stdout
    said = " ".join(done.stdout.split())
    for path in FRAGMENTS:
        assert " ".join(path.read_text("utf-8").split()) in said


READ = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py")}
)


@pytest.mark.parametrize("path", READ, ids=lambda path: path.name)
def test_nobody_is_told_to_install_a_name_that_is_not_claimed(path: Path) -> None:
    # Whoever claims it decides what it installs: see Releasing in CONTRIBUTING.
    told = re.compile(r"pip3? install(?: -\S+)* [\"']?mementum\b")
    assert not told.search(path.read_text("utf-8"))
