"""What this machine is, in the words of a table."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path


def processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
            field, _, value = line.partition(":")
            if field.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine() or "unnamed"


def cores() -> int:
    """Return how many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float | None:
    """Return how many processes wanted to run in the last minute, if it is known."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def version(package: str) -> str | None:
    """Return the version of a package, or None if none is installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str | None]:
    """Return the versions of Python, torch and NumPy."""
    return {
        "Python": platform.python_version(),
        "torch": version("torch"),
        "NumPy": version("numpy"),
    }
