"""What a host of the repository would run is of this repository."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mementum

ROOT = Path(__file__).parents[1]
yaml = pytest.importorskip("yaml")
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in sorted(ROOT.glob(".github/workflows/*.yml"))
}
JOBS = [
    pytest.param(job, id=f"{workflow}-{name}")
    for workflow, page in WORKFLOWS.items()
    for name, job in page["jobs"].items()
]
STEPS = [
    pytest.param(step, id=f"{param.id}-{number}")
    for param in JOBS
    for number, step in enumerate(param.values[0].get("steps", []))
]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
if not WORKFLOWS:
    pytest.skip("a source distribution has no workflows", allow_module_level=True)
VERSIONS = WORKFLOWS["tests"]["jobs"]["versions"]["strategy"]["matrix"]


@pytest.mark.parametrize("page", WORKFLOWS.values(), ids=WORKFLOWS)
def test_a_workflow_may_nothing_by_itself(page: dict[str, Any]) -> None:
    assert page["permissions"] == {}
    assert "concurrency" in page


@pytest.mark.parametrize("job", JOBS)
def test_a_job_says_what_it_may_and_how_long(job: dict[str, Any]) -> None:
    assert "permissions" in job
    assert "uses" in job or job["timeout-minutes"] <= 90


@pytest.mark.parametrize("step", STEPS)
def test_an_action_is_pinned_by_its_commit(step: dict[str, Any]) -> None:
    used = step.get("uses", "")
    assert not used or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used)
    if used.startswith("actions/checkout@"):
        assert step["with"]["persist-credentials"] is False


def words(step: dict[str, Any]) -> Iterator[list[str]]:
    for line in step.get("run", "").splitlines():
        yield shlex.split(line)


@pytest.mark.parametrize("step", STEPS)
def test_a_script_takes_values_from_its_environment(step: dict[str, Any]) -> None:
    assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("step", STEPS)
def test_a_script_names_what_there_is(step: dict[str, Any]) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([\w-]+):", makefile, re.MULTILINE)
    for line in words(step):
        if line[:1] == ["make"]:
            made = [word for word in line[1:] if "=" not in word]
            assert made
            assert {*made} <= {*targets}
        for word in line:
            if re.fullmatch(r"(\.?[\w-]+/)+[\w./-]+|[\w-]+\.(txt|py|toml)", word):
                assert (ROOT / word).exists(), word


@pytest.mark.parametrize("job", JOBS)
def test_no_script_changes_the_makefile_by_its_environment(job: dict[str, Any]) -> None:
    left_to_it = re.findall(
        r"^(\w+) \?=", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE
    )
    for part in [job, *job.get("steps", [])]:
        assert not {*part.get("env", {})} & {*left_to_it}


@pytest.mark.parametrize("step", STEPS)
def test_a_script_names_a_torch_of_the_matrix(step: dict[str, Any]) -> None:
    for line in words(step):
        for word in line:
            if word.startswith("VERSION="):
                assert word.removeprefix("VERSION=") in {
                    *VERSIONS["torch"],
                    "$TORCH",
                    "nightly",
                }


def test_the_pythons_are_those_that_the_package_names() -> None:
    named = {
        found[1]
        for line in PROJECT["project"]["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line))
    }
    assert {*VERSIONS["python"]} == named
    assert (
        f">={min(named, key=lambda v: int(v[2:]))}"
        == PROJECT["project"]["requires-python"]
    )


def test_the_torches_are_the_floor_and_the_one_of_all_tests_and_a_newer() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    floor = extras["torch"][0].removeprefix("torch>=")
    pinned = re.search(
        r"^torch==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    assert pinned is not None
    first, second, newest = VERSIONS["torch"]
    assert first.startswith(f"{floor}.")
    assert second == pinned[1]
    assert [*map(int, newest.split("."))] > [*map(int, second.split("."))]


@pytest.mark.parametrize("tag", ["v{}", "{}", "v{}.1", ""])
def test_a_tag_is_the_version_or_nothing_is_published(tag: str) -> None:
    said = [tag.format(mementum.__version__)] if tag else []
    done = subprocess.run(
        [sys.executable, ROOT / "release" / "tag.py", *said],
        check=False,
        stderr=subprocess.DEVNULL,
    )
    assert (done.returncode == 0) is (tag == "v{}")


def test_a_release_waits_for_the_tag_the_tests_and_the_wheels() -> None:
    jobs = WORKFLOWS["release"]["jobs"]
    assert {*jobs["publish"]["needs"]} == {"tests", "wheels"}
    assert jobs["tests"]["needs"] == jobs["wheels"]["needs"] == "version"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
