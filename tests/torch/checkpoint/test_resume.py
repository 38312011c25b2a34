"""A run that is saved and goes on in a new process is the run that was not stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.torch.cases import COMPILED, MEMBERS
from tests.torch.checkpoint.resuming import (
    BEFORE,
    STEPS,
    Training,
    combinations,
)

ROOT = Path(__file__).parents[3]
NAMES = [member.__name__ for member in MEMBERS]
# A process for a third of them: starting one costs as much as 200 combinations.
THIRDS = [NAMES[i::3] for i in range(3)]


def in_another_process(saved: dict[Any, Any], folder: Path, threads: int) -> list[str]:
    """Return the lines that a process writes that goes on with what was saved."""
    given, written = folder / "saved.pt", folder / f"digests with {threads}"
    torch.save(saved, given)
    command = ["-W", "error", "-m", "tests.torch.checkpoint.resuming", given, written]
    subprocess.run(
        [sys.executable, *map(str, command), str(threads)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        timeout=120,
    )
    return written.read_text().splitlines()


@pytest.mark.process
@pytest.mark.parametrize("names", THIRDS, ids=" ".join)
def test_a_run_goes_on_bit_for_bit_in_a_new_process(
    names: list[str], tmp_path: Path
) -> None:
    saved, whole = {}, []
    for name in names:
        for what in combinations(name):
            training = Training(what)
            training.train(0, BEFORE)
            saved[tuple(what)] = training.saved()
            training.train(BEFORE, STEPS)
            whole.append(f"{training.digest()} {tuple(what)!r}")
    assert len(whole) == len(names) * (183 if COMPILED else 147)
    # On another number of threads than here, whatever that is.
    threads = 2 if torch.get_num_threads() == 1 else 1
    resumed = in_another_process(saved, tmp_path, threads)
    assert [b for a, b in zip(whole, resumed, strict=True) if a != b] == []


def test_a_digest_sees_what_is_not_restored() -> None:
    what = next(combinations("AdaX"))
    training = Training(what)
    training.train(0, BEFORE)
    saved = training.saved()
    training.train(BEFORE, STEPS)
    for key in ("step", "momentum", "square"):
        other = Training(what)
        other.load(saved)
        state = other.optimizer.state[other.params[0]]
        state[key] = state[key] + 1
        other.train(BEFORE, STEPS)
        assert other.digest() != training.digest()
