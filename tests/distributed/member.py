"""The processes of a pool: each runs what it is told, until its pipe is closed.

What they need is imported once, in a process that then only forks them and waits.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path


def serve(pipe: Connection) -> None:
    """Answer each function with whether it returned, and what."""
    pipe.send(os.getpid())
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = True, function(*arguments)
        except BaseException:  # noqa: BLE001 (the answer says so)
            answer = False, traceback.format_exc()
        pipe.send(answer)


def begin(fd: int, others: list[int], errors: Path) -> None:
    """Be a member: with a pipe and a file of its own, and none of the others'."""
    for other in others:
        os.close(other)
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    with errors.open("wb") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    serve(Connection(fd))


def main(module: str, folder: str, fds: list[int]) -> None:
    """Fork a member for each pipe; at the end of the input, end them all."""
    importlib.import_module(module)
    children = []
    for rank, fd in enumerate(fds):
        if (child := os.fork()) == 0:
            others = [other for other in fds if other != fd]
            begin(fd, others, Path(folder, f"errors-{rank}"))
            os._exit(0)
        children.append(child)
    for fd in fds:
        os.close(fd)
    sys.stdin.buffer.read()
    # None was waited for, so none of the numbers is another's yet.
    for child in children:
        os.kill(child, signal.SIGKILL)
    for _ in children:
        os.wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], list(map(int, sys.argv[3:])))
