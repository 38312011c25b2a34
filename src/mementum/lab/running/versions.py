"""What a run's result depends on beside its settings: software, and the machine."""

from __future__ import annotations

import functools
import platform
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import torch

import mementum
from mementum import sources
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


def source_digest(
    folders: Iterable[Path], patterns: Collection[str] | None = None
) -> str:
    """Return a digest of the package's sources: of those of a step, or of patterns.

    An editable install spreads the package over two folders.
    """
    try:
        if patterns is None:
            return sources.step_digest(folders)
        return sources.digest(folders, patterns)
    except FileNotFoundError:
        raise LabError(
            "no source of mementum is found, so results could not be told from those "
            "of another version; install mementum as ordinary files."
        ) from None


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
