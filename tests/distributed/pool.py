"""Processes that run functions together, started once for many tests.

Each is told a function and its arguments through a pipe, and answers with what it
returned. A process that does not answer in time, or fails while the others wait for
it, ends the whole pool, and the next use starts another: a hang is a failed test and
never a process left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
GRACE = 2.0


class Failed(AssertionError):
    """What went wrong in the processes of a pool."""


@dataclass
class Member:
    """One process: what talks to it, and where it writes its errors."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    errors: Path


class Pool:
    """Up to `size` processes, in one process group once `join` is given."""

    def __init__(self, size: int, join: Callable[..., Any] | None = None) -> None:
        self.size = size
        self._join = join
        self._members: list[Member] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def run(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        ranks: int | None = None,
        within: float = 60.0,
    ) -> list[Any]:
        """Return what the first `ranks` processes return for a function.

        Errors: `Failed` with what each process that failed or hung was doing.
        """
        if not self._members:
            self._start()
        members = self._members[: ranks or self.size]
        for member in members:
            member.pipe.send((function, arguments))
        answers = self._answers(members, within)
        bad = [rank for rank in range(len(members)) if not answers.get(rank, (0,))[0]]
        if not bad:
            return [answers[rank][1] for rank in range(len(members))]
        report = "\n".join(self._told(rank, answers, within) for rank in bad)
        self.close()
        raise Failed(f"{function.__name__}{arguments}:\n{report}")

    def _answers(self, members: list[Member], within: float) -> dict[int, Any]:
        """Collect answers until all are there, time is up or one has failed."""
        ranks = {member.pipe: rank for rank, member in enumerate(members)}
        answers: dict[int, Any] = {}
        end = time.monotonic() + within
        while len(answers) < len(members) and (left := end - time.monotonic()) > 0:
            waiting = [pipe for pipe, rank in ranks.items() if rank not in answers]
            for pipe in wait(waiting, left):
                assert isinstance(pipe, Connection)
                answers[ranks[pipe]] = _received(pipe)
                if not answers[ranks[pipe]][0]:
                    # The others may wait for this one for ever.
                    end = min(end, time.monotonic() + GRACE)
        return answers

    def _told(self, rank: int, answers: dict[int, Any], within: float) -> str:
        if rank in answers:
            return f"process {rank} failed:\n{answers[rank][1]}{self._written(rank)}"
        os.kill(self._members[rank].process.pid, signal.SIGUSR1)
        time.sleep(0.2)
        return (
            f"process {rank} has not answered within {within:g} s:\n"
            f"{self._written(rank)}"
        )

    def _written(self, rank: int) -> str:
        return self._members[rank].errors.read_text(errors="replace")[-4000:]

    def _start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mementum-pool-")
        for rank in range(self.size):
            ours, theirs = Pipe()
            errors = Path(self._folder.name, f"errors-{rank}")
            with errors.open("wb") as sink:
                process = subprocess.Popen(
                    [sys.executable, "-m", __name__.rpartition(".")[0] + ".member"]
                    + [str(theirs.fileno())],
                    cwd=ROOT,
                    env=_environment(),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                )
            theirs.close()
            self._members.append(Member(process, ours, errors))
        if self._join is not None:
            for rank, member in enumerate(self._members):
                store = str(Path(self._folder.name, "store"))
                member.pipe.send((self._join, (rank, self.size, store)))
            answers = self._answers(self._members, 120)
            if sum(good for good, _ in answers.values()) < self.size:
                told = [self._told(rank, answers, 120) for rank in range(self.size)]
                self.close()
                raise Failed("the processes did not start:\n" + "\n".join(told))

    def pids(self) -> list[int]:
        """Return the processes' numbers."""
        return [member.process.pid for member in self._members]

    def close(self) -> None:
        """End the processes, and wait until they are gone."""
        for member in self._members:
            member.process.kill()
        for member in self._members:
            member.process.wait()
            member.pipe.close()
        self._members = []
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _received(pipe: Connection) -> tuple[bool, Any]:
    try:
        return pipe.recv()
    except (EOFError, ConnectionError):
        return False, "it has ended\n"


def _environment() -> dict[str, str]:
    own = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    if sys.platform == "darwin":
        own["GLOO_SOCKET_IFNAME"] = "lo0"
    return os.environ | own
