"""Laws of the doctor's page: its width, its data, and its word on other work."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from mementum.bench.clock import Spread
from mementum.bench.entrant import CLASSES, FORMATS
from mementum.doctor import command, surroundings, timing, torch_build
from mementum.doctor.installation import find
from mementum.doctor.page import plain

HERE = find()


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the speed for no longer than must be."""
    monkeypatch.setattr(timing, "_LOOK", 0.0)


@pytest.mark.usefixtures("briefly")
@pytest.mark.parametrize("load", [0.0, 99.0])
def test_the_page_is_80_columns_wide_but_for_paths_which_stand_alone(
    load: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timing.machine, "load", lambda: load)
    monkeypatch.setattr(timing, "DISTURBED", math.inf)
    command.doctor()
    lines = capsys.readouterr().out.splitlines()
    wide = [line.strip() for line in lines if len(line) > 80]
    assert all(line.startswith("/") and " " not in line for line in wide)
    assert any(line.startswith("Disturbed: ") for line in lines) == (load > 0)
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.usefixtures("briefly")
def test_as_data_the_doctor_tells_what_its_page_tells(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = command.doctor(as_json=True)
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["right"] == (code == 0) == (not told["findings"])
    assert told["source"] == str(Path(command.__file__).parents[1])
    assert told["system"]["cores"] >= 1
    assert told["torch"]["versions"] == {"torch": torch.__version__}
    kernel = told["torch"]["kernel"]
    assert kernel["runs"] == (HERE.finding is None) == (kernel["why_not"] is None)
    checks = {each["name"]: each for each in told["torch"]["checks"]}
    assert list(checks) == list(CLASSES)
    assert all(each["right"] for each in checks.values())
    assert list(checks["AdamW"]["alike"]) == list(FORMATS)
    assert "torch_fused" in told["torch"]["timing"]["seconds"]


def test_other_work_makes_times_worthless_whichever_way_it_shows() -> None:
    calm, wide = Spread(1.0, 0.99, 1.01), Spread(1.0, 0.5, 1.5)

    def said(seconds: Spread, load: float | None) -> str:
        return timing.Timing({"native": seconds}, {"native": 1.0}, load).disturbance

    assert not said(calm, 0.0)
    assert not said(calm, None)
    assert "99.0 processes wanted to run" in said(calm, 99.0)
    assert "spread by 50%" in said(wide, 0.0)
    assert ", and the times" in said(wide, 99.0)
    for each in (said(wide, None), said(calm, 99.0)):
        assert each.startswith("Disturbed: ")
        assert each.endswith("measure again while nothing else runs.")


@pytest.mark.parametrize(
    ("named", "build"),
    [({"cuda": "12.6"}, "CUDA 12.6"), ({"hip": "6.4"}, "ROCm 6.4"), ({}, "CPU")],
)
def test_torch_says_what_it_was_built_for(
    named: dict[str, str], build: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cuda", "hip", "xpu"):
        monkeypatch.setattr(torch.version, name, named.get(name), raising=False)
    assert torch_build.build() == build


def test_the_openmp_runtimes_are_told_from_other_libraries() -> None:
    mapped = "\n".join(
        f"7f00-7f01 r-xp 0 08:01 9 /opt/torch/lib/{name}"
        for name in ("libgomp-a34b.so.1", "libiomp5.so", "libomp.so", "libcomp.so")
    )
    found = torch_build._OPENMP.findall(mapped)
    assert found == ["libgomp-a34b.so.1", "libiomp5.so", "libomp.so"]


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_an_error_that_is_no_number_is_words_in_json(error: float) -> None:
    assert isinstance(plain(error), str)
    assert plain(1.5) == 1.5
    assert plain("OSError: no") == "OSError: no"


def test_each_extra_names_its_packages_and_their_versions() -> None:
    found = surroundings.extras()
    assert found["torch"] == {"torch": torch.__version__}
    assert "rich" in found["lab"]
    assert "mementum" not in {name for extra in found.values() for name in extra}
