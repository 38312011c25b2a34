"""What a run's result depends on beside its settings: software, and the machine."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import torch

import mementum
from mementum.lab.errors import LabError
from mementum.lab.records.run import CPU
from mementum.lab.running.stepping.device import facts
from mementum.machine import processor


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions that a run's result depends on.

    ``source`` is a digest of what decides the numbers of a step: editing an optimizer
    makes its runs new runs, even where the version number stays.
    """
    return {
        "mementum": mementum.__version__,
        "source": source_digest(map(Path, mementum.__path__)),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


_SOURCES = (
    "family/*.py",
    "torch/optimizers.py",
    "torch/family_optimizer.py",
    *(f"torch/{room}/*.py" for room in ("backends", "groups", "state", "step")),
    *(f"native/**/*.{kind}" for kind in ("cpp", "inc", "h", "txt")),
)
"""What decides the numbers of a step, and so the identity of a run."""


def source_digest(folders: Iterable[Path], sources: Collection[str] = _SOURCES) -> str:
    """Return a digest of the sources of the package, wherever its folders lie.

    An editable install spreads the package over two folders. A file that is in both
    counts as Python finds it: the first folder wins.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in (path for each in sources for path in folder.glob(each)):
            found.setdefault(path.relative_to(folder).as_posix(), path)
    if not found:
        raise LabError(
            "no source of mementum is found, so results could not be told from those "
            "of another version; install mementum as ordinary files."
        )
    digest = hashlib.sha256()
    for name, path in sorted(found.items()):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def environment(device: str = CPU) -> dict[str, str]:
    """Return what identifies the machine and the software of a run on a device."""
    return _machine() | facts(device)


@functools.cache
def _machine() -> dict[str, str]:
    return {
        **versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": processor(),
        "threads": "1",
    }
