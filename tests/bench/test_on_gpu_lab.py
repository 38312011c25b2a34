"""The times of the lab's runs on a GPU are tried where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.bench.test_on_gpu import ROOT, run

SCRIPT = ROOT / "benchmarks" / "on_gpu_lab.py"

pytestmark = pytest.mark.process


def test_the_times_are_taken_of_runs_that_finish_and_score_alike(
    tmp_path: Path,
) -> None:
    file = tmp_path / "figures.json"
    done = run(str(SCRIPT), "--tiny", "--tasks", "mlp-digits", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    here, there = found["tasks"]["mlp-digits"]
    assert here["finished"]
    assert there["finished"]
    assert here["score"] == there["score"]
    assert here["seconds"] > 0
    assert found["machine"]["torch"]


def test_without_a_gpu_it_says_so() -> None:
    done = run(str(SCRIPT), "--device", "cuda:99")
    assert done.returncode == 2
    assert done.stderr.startswith("on_gpu_lab: device is cuda:99, and torch ")
    assert done.stderr.count("\n") == 1
