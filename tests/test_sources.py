"""A run's identity is the same however mementum was installed, and so is its README."""

from __future__ import annotations

import re
import runpy
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mementum
from mementum import sources

ROOT = Path(__file__).parents[1]
BACKEND = ROOT / "src" / "build_backend.py"
LINKED: Callable[[str, str, str], str] = runpy.run_path(
    str(ROOT / "src" / "linked_readme.py")
)["linked"]
README = (ROOT / "README.md").read_text("utf-8")
LINK = re.compile(r"\]\(([^)]+)\)")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package as it lies in a clone."""
    found = [
        p for p in map(Path, mementum.__path__) if (p / "native/kernel.cpp").exists()
    ]
    if not found:
        pytest.skip("mementum is installed without its sources")
    away = shutil.ignore_patterns("__pycache__", "*.sha256", "*.so")
    return Path(
        shutil.copytree(
            found[0], tmp_path / "mementum", dirs_exist_ok=True, ignore=away
        )
    )


def as_a_wheel_has_it(package: Path) -> None:
    """Leave the record of the kernel's sources where these were, as a wheel does."""
    record = sources.native_digest([package])
    shutil.rmtree(package / "native")
    (package / sources.RECORD).parent.mkdir()
    (package / sources.RECORD).write_text(f"{record}\n", "ascii")


def test_a_wheel_has_the_digest_of_its_sources(package: Path) -> None:
    before = sources.step_digest([package])
    as_a_wheel_has_it(package)
    assert sources.step_digest([package]) == before
    (package / sources.RECORD).write_text(f"{'0' * 64}\n", "ascii")
    assert sources.step_digest([package]) != before


@pytest.mark.parametrize("record", [b"", b"abc", b"\xff" * 64])
def test_a_record_that_is_no_digest_is_none(package: Path, record: bytes) -> None:
    as_a_wheel_has_it(package)
    (package / sources.RECORD).write_bytes(record)
    with pytest.raises(FileNotFoundError, match="no file of mementum"):
        sources.step_digest([package])


def test_sources_count_before_a_record_that_has_grown_old(package: Path) -> None:
    before = sources.step_digest([package])
    (package / sources.RECORD).write_text("another\n", "ascii")
    assert sources.step_digest([package]) == before


def test_line_ends_do_not_matter(package: Path) -> None:
    before = sources.step_digest([package])
    for name in ("native/kernel.cpp", "family/rule.py"):
        path = package / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert sources.step_digest([package]) == before


def test_without_sources_and_record_there_is_no_digest(package: Path) -> None:
    shutil.rmtree(package / "native")
    with pytest.raises(FileNotFoundError, match="no file of mementum"):
        sources.step_digest([package])


def test_what_a_wheel_leaves_out_is_what_the_digest_is_of(package: Path) -> None:
    """A source that the digest knows is left out, and nothing else of the package."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    left_out = {
        path
        for pattern in settings["scikit-build"]["wheel"]["exclude"]
        for path in package.parent.glob(pattern)
    }
    native = {
        path
        for path in (package / "native").rglob("*")
        if path.suffix in {".cpp", ".h", ".inc", ".txt"}
    }
    assert left_out == native
    assert native


@pytest.mark.parametrize("written", [True, False])
def test_a_tree_that_cannot_be_written_keeps_its_sources_in_the_wheel(
    written: bool,
) -> None:
    space = runpy.run_path(str(BACKEND))
    asked: list[Any] = []
    names = space["build_wheel"].__globals__

    def build(folder: str, settings: Any, metadata: Any) -> str:
        asked.append(settings)
        return "made.whl"

    def write() -> None:
        if not written:
            raise OSError(30, "Read-only file system")

    names["__getattr__"] = {"build_wheel": build}.__getitem__
    names["write"] = write
    given = {"cmake.build-type": "Debug"}
    assert space["build_wheel"]("folder", given) == "made.whl"
    (settings,) = asked
    assert settings["cmake.build-type"] == "Debug"
    assert ("wheel.exclude" in settings) is not written
    assert given == {"cmake.build-type": "Debug"}


def test_links_of_the_readme_lead_into_the_repository() -> None:
    relative = {to for to in LINK.findall(README) if not to.startswith(("https:", "#"))}
    assert relative
    shown = LINKED(README, "https://host/us/it/", "1.2")
    for to in relative:
        kind = "raw" if to.endswith((".png", ".svg")) else "blob"
        assert f"](https://host/us/it/{kind}/v1.2/{to})" in shown
    assert all(to.startswith(("https:", "#")) for to in LINK.findall(shown))


def test_without_a_repository_nothing_of_the_readme_leads_nowhere() -> None:
    shown = LINKED(README, "", "1.2")
    assert all(to.startswith(("https:", "#")) for to in LINK.findall(shown))
    assert "![" not in shown
