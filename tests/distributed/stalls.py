"""What a process does that does not answer."""

from __future__ import annotations

import os
import time


def stall(pid: int) -> None:
    """Sleep in one process, and return in every other."""
    if os.getpid() == pid:
        time.sleep(60)
