"""timm's registry, by which its scripts make optimizers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.torch.cases import Member, members
from tests.trainers import pages, with_timm

from mementum.torch import MEMBERS
from mementum.torch.integrations.timm import register

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """What timm makes of the family; skips where there is no timm."""
    if find_spec("timm") is None and not (with_timm.APART / "timm").is_dir():
        where = f"nor in {with_timm.APART}, where `make install` puts it"
        pytest.skip(f"timm is not installed, {where}")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.trainers.with_timm",
            pages.program("trainers/timm.md"),
        ],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_class_is_listed_under_two_names_or_the_longer(
    facts: dict[str, Any],
) -> None:
    short = {m.__name__.lower() for m in MEMBERS} - {"adam", "adamw"}
    longer = {f"mementum-{m.__name__.lower()}" for m in MEMBERS}
    assert set(facts["new"]) == short | longer
    assert facts["names"] == {
        m.__name__: m.__name__.lower()
        if m.__name__.lower() in short
        else f"mementum-{m.__name__.lower()}"
        for m in MEMBERS
    }


def test_timm_keeps_its_own(facts: dict[str, Any]) -> None:
    assert facts["lost"] == []
    assert facts["torchs"] == facts["torchs after"]
    assert all("torch.optim" in kind for kind in facts["torchs"].values())


def test_registering_twice_is_registering_once(facts: dict[str, Any]) -> None:
    assert facts["again"]


@members
@pytest.mark.parametrize("name", ["plain", "long"])
def test_the_optimizer_by_name_is_the_class(
    member: Member, name: str, facts: dict[str, Any]
) -> None:
    made = facts[member.__name__][name]
    assert made["class"] == f"mementum.{member.__name__}"
    # Two matrices decay; their biases and the norm's two vectors do not.
    assert made["decays"] == [[4, 0.0], [2, 0.1]]
    assert made["same"]
    assert made["moved"]


@members
def test_decayed_layers_and_a_schedule_resume(
    member: Member, facts: dict[str, Any]
) -> None:
    made = facts[member.__name__]["scheduled"]
    assert len(made["scales"]) > 2
    assert made["rates"] == pytest.approx([made["rates"][0]] * len(made["rates"]))
    assert made["same"]
    assert not made["stopped"]


@members
def test_lookahead_goes_around_it(member: Member, facts: dict[str, Any]) -> None:
    assert facts[member.__name__]["looked ahead"]


@members
def test_lookahead_resumes_from_what_it_wrote_into_the_state(
    member: Member, facts: dict[str, Any]
) -> None:
    assert facts[member.__name__]["looked ahead again"]


def test_the_page_runs(facts: dict[str, Any]) -> None:
    assert facts["page"] == "AdaXW"
    assert facts["page names"] == facts["names"]
    table = (pages.DOCS / "trainers/timm.md").read_text(encoding="utf-8")
    for name in (*facts["names"], *facts["names"].values()):
        assert f"`{name}`" in table


def test_without_timm_the_error_is_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="timm"):
        register()
