"""One process of a pool: runs what it is told, until its pipe is closed."""

from __future__ import annotations

import faulthandler
import signal
import sys
import traceback
from multiprocessing.connection import Connection


def serve(pipe: Connection) -> None:
    """Answer each function with whether it returned, and what."""
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = True, function(*arguments)
        except BaseException:
            answer = False, traceback.format_exc()
        pipe.send(answer)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    serve(Connection(int(sys.argv[1])))
