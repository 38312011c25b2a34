"""The check of a step on a GPU is tried where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.torch.gpu.comparison import FORMATS, RULES

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "on_gpu.py"

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux"),
]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_check_runs_and_finds_no_difference(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    file = tmp_path / "figures.json"
    done = run(str(SCRIPT), "--tiny", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    assert list(found) == ["seconds", "machine", "bits", "tests", "bench"]
    assert {row["format"] for row in found["bits"]} == set(FORMATS)
    assert {row["rule"] for row in found["bits"]} == set(RULES)
    assert all(row["differ"] == 0 and row["of"] > 4_000 for row in found["bits"])
    assert found["tests"]["passed"] > 10
    paths = [row["path"] for row in found["bench"]["rows"] if row["name"] == "AdamW"]
    assert paths == ["triton"]


def test_without_a_gpu_the_check_says_so() -> None:
    done = run(str(SCRIPT), "--device", "cuda:99")
    assert done.returncode == 2
    assert done.stderr.startswith("on_gpu: --device is cuda:99, and torch ")
    assert done.stderr.count("\n") == 1
