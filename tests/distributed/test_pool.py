"""A pool of processes tells what went wrong in them, and leaves none behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from tests.distributed.pool import ROOT, Pool, PoolError
from tests.distributed.stalls import stall

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("distributed")]


@pytest.fixture
def two() -> Iterator[Pool]:
    processes = Pool(2)
    yield processes
    processes.close()


def gone(pids: list[int]) -> bool:
    """Whether none of the processes is there, not even as a zombie."""
    for pid in pids:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        return False
    return True


def test_each_process_answers(two: Pool) -> None:
    pids = two.run(os.getpid)
    assert pids == two.pids()
    assert len(set(pids)) == 2
    assert two.run(os.getpid, ranks=1) == pids[:1]
    two.close()
    assert gone(pids)


def test_a_process_that_hangs_is_named_with_what_it_was_doing(two: Pool) -> None:
    pids = two.run(os.getpid)
    with pytest.raises(
        PoolError, match=r"(?s)process 1 has not answered.*stall"
    ) as told:
        two.run(stall, pids[1], within=1)
    assert "process 0" not in str(told.value)
    assert gone(pids)
    assert two.run(os.getpid) != pids


def test_a_process_that_fails_is_named_with_its_error(two: Pool) -> None:
    pids = two.run(os.getpid)
    with pytest.raises(PoolError, match=r"(?s)process 0 failed.*ZeroDivisionError"):
        two.run(divmod, 1, 0)
    assert gone(pids)


def test_a_process_that_ends_is_named(two: Pool) -> None:
    pids = two.run(os.getpid)
    with pytest.raises(PoolError, match="process 0 failed:\nit has ended"):
        two.run(os._exit, 3)
    assert gone(pids)


def test_the_processes_end_when_their_test_run_is_killed() -> None:
    script = (
        "import os, time\n"
        "from tests.distributed.pool import Pool\n"
        "print(*Pool(2).run(os.getpid), flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        pids = list(map(int, killed.stdout.readline().split()))
        assert not gone(pids)
        killed.kill()
    end = time.monotonic() + 10
    while not gone(pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert len(pids) == 2
    assert gone(pids)
