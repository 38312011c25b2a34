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
GRACE, START = 2.0, 120.0


class PoolError(AssertionError):
    """What went wrong in the processes of a pool."""


@dataclass
class Member:
    """One process: what talks to it, where it writes its errors, and its number."""

    pipe: Connection
    errors: Path
    pid: int = 0


class Pool:
    """Up to `size` processes, in one process group once `join` is given."""

    def __init__(self, size: int, join: Callable[..., Any] | None = None) -> None:
        self.size = size
        self._join = join
        self._members: list[Member] = []
        self._parent: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def run(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        ranks: int | None = None,
        within: float = 60.0,
    ) -> list[Any]:
        """Return what the first `ranks` processes return for a function.

        Errors: `PoolError` with what each process that failed or hung was doing.
        """
        if not self._members:
            self._start()
        members = self._members[: ranks or self.size]
        for member in members:
            member.pipe.send((function, arguments))
        return self._collect(members, f"{function.__name__}{arguments}", within)

    def _collect(self, members: list[Member], what: str, within: float) -> list[Any]:
        answers = self._answers(members, within)
        bad = [rank for rank in range(len(members)) if not answers.get(rank, (0,))[0]]
        if not bad:
            return [answers[rank][1] for rank in range(len(members))]
        report = "\n".join(self._told(rank, answers, within) for rank in bad)
        self.close()
        raise PoolError(f"{what}:\n{report}")

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
        os.kill(self._members[rank].pid, signal.SIGUSR1)
        time.sleep(0.2)
        return (
            f"process {rank} has not answered within {within:g} s:\n"
            f"{self._written(rank)}"
        )

    def _written(self, rank: int) -> str:
        errors = self._members[rank].errors
        return errors.read_text(errors="replace")[-4000:] if errors.exists() else ""

    def _start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mementum-pool-")
        folder = self._folder.name
        pairs = [Pipe() for _ in range(self.size)]
        fds = [theirs.fileno() for _, theirs in pairs]
        package = __name__.rpartition(".")[0]
        module = self._join.__module__ if self._join else package + ".member"
        words = [package + ".member", module, folder, *map(str, fds)]
        with Path(folder, "errors").open("wb") as sink:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=ROOT,
                env=_environment(),
                pass_fds=fds,
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=sink,
            )
        for rank, (ours, theirs) in enumerate(pairs):
            theirs.close()
            self._members.append(Member(ours, Path(folder, f"errors-{rank}")))
        for member in self._members:
            if not member.pipe.poll(START):
                self.close()
                raise PoolError(f"the processes did not start within {START:g} s")
            member.pid = member.pipe.recv()
        if self._join is not None:
            for rank, member in enumerate(self._members):
                store = str(Path(folder, "store"))
                member.pipe.send((self._join, (rank, self.size, store)))
            self._collect(self._members, self._join.__name__, START)

    def pids(self) -> list[int]:
        """Return the processes' numbers."""
        return [member.pid for member in self._members]

    def close(self) -> None:
        """End the processes, and wait until they are gone."""
        if self._parent is not None:
            # At the end of its input it ends its children, and then itself.
            self._parent.communicate()
            self._parent = None
        for member in self._members:
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
