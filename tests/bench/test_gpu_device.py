"""A GPU's clock, memory and facts are asked for in the order that makes them right."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mementum.bench.gpu.device import opened


class Recorded:
    """What stands for torch.cuda: it writes down what it is asked for, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.Event = lambda enable_timing: self

    def __getattr__(self, name: str) -> Any:
        answers = {"device_count": 2, "is_available": True, "elapsed_time": 2_000.0,
                   "memory_allocated": 100, "max_memory_allocated": 164,
                   "mem_get_info": (70, 80), "current_device": 1}  # fmt: skip

        def call(*_: Any) -> Any:
            self.calls.append(name)
            if name == "get_device_properties":
                return SimpleNamespace(name="G", total_memory=80, uuid="12")
            return answers.get(name)

        return call


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    module = Recorded()
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)
    return module


def test_events_are_around_the_step_and_behind_other_work(cuda: Recorded) -> None:
    device = opened("cuda")
    assert device.at == torch.device("cuda", 1)
    cuda.calls.clear()
    times = device.sample(
        lambda: cuda.calls.append("step"), lambda: cuda.calls.append("before")
    )
    order = ["synchronize", "before", "record", "step", "record", "synchronize"]
    assert cuda.calls == [*order, "elapsed_time"]
    assert times.step == 2.0
    assert 0 <= times.host < 1


def test_memory_is_what_a_step_adds_at_its_peak(cuda: Recorded) -> None:
    device = opened("cuda:0")
    cuda.calls.clear()
    assert device.peak(lambda: cuda.calls.append("step")) == 64
    order = ["reset_peak_memory_stats", "memory_allocated", "step", "synchronize"]
    assert cuda.calls[1:] == [*order, "max_memory_allocated"]
    assert device.free() == 70


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script")
@pytest.mark.parametrize("fails", [False, True])
def test_the_drivers_facts_are_told_where_they_are_known(
    fails: bool, cuda: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\nexit 1\n"
        if fails
        else '#!/bin/sh\ntest "$1" = --id=GPU-12 || exit 1\n'
        'echo "570.1, 1980 MHz, 1980 MHz, 2619 MHz, 700.00 W, 31"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    facts = opened("cuda").facts()
    assert facts["device"] == "G"
    assert facts.get("clock") == (None if fails else "1980 MHz")
    assert facts.get("driver") == (None if fails else "570.1")
