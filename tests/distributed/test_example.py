"""The example runs as its first lines say, and goes on where its checkpoint ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.distributed.pool import ROOT

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("distributed")]
SMALL = ("--steps", "4", "--save-every", "2", "--batch", "4", "--width", "32")


def trained(folder: Path, *flags: str) -> list[str]:
    """Return what the example prints, started by torchrun on a free port."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = str(ROOT / "examples" / "fsdp.py")
    run = subprocess.run(
        [sys.executable, *torchrun, script, "--folder", str(folder), *SMALL, *flags],
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_the_example_resumes_to_the_bit(tmp_path: Path) -> None:
    whole = trained(tmp_path, "--bf16")
    assert [line.split()[1] for line in whole] == ["1", "2", "3", "4"]
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == ["step-000002", "step-000004"]
    # Killed while it wrote the last checkpoint:
    (tmp_path / "step-000004").rename(tmp_path / "step-000004.partial")
    assert trained(tmp_path, "--bf16") == whole[2:]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
