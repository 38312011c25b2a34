"""Finds the processes of a session, for tests of what outlives what."""

import contextlib
import time
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="finds processes through /proc"
)


def members(session: int) -> set[int]:
    """Return the processes of a session that still live."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = entry.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state not in "ZX":
                found.add(int(entry.parent.name))
    return found


def wait_for_end(session: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while members(session):
        assert time.monotonic() < deadline, "processes outlive their driver"
        time.sleep(0.02)


def wait_for(path: Path, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} does not appear"
        time.sleep(0.02)
