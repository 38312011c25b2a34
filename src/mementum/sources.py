"""Which sources decide the numbers of a step, and the digest that names them.

A wheel has the compiled kernel and not its C++: the digest of that is written down when
the wheel is built, so that it is the same however mementum was installed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["RECORD", "digest", "native_digest", "step_digest"]

_NATIVE = tuple(f"native/**/*.{kind}" for kind in ("cpp", "inc", "h", "txt"))
_STEP = (
    "family/*.py",
    "torch/optimizers.py",
    "torch/family_optimizer.py",
    *(f"torch/{room}/*.py" for room in ("backends", "groups", "state", "step")),
)
RECORD = "native/sources.sha256"
"""The file, within the package, in which a build writes the digest of the kernel."""


def step_digest(folders: Iterable[Path]) -> str:
    """Return the digest of what decides the numbers of a step, in 12 digits.

    `folders` are those of the package: an editable install spreads it over two.
    Errors: `FileNotFoundError` if Python's sources, or the kernel's and their record,
    are not there.
    """
    folders = [*folders]
    together = f"{_of(folders, _STEP)} {native_digest(folders)}"
    return hashlib.sha256(together.encode()).hexdigest()[:12]


def digest(folders: Iterable[Path], patterns: Iterable[str]) -> str:
    """Return the digest of the files of a package that match patterns, in 12 digits."""
    return _of(folders, patterns)[:12]


def native_digest(folders: Iterable[Path]) -> str:
    """Return the digest of the kernel's sources or, without them, the one on record."""
    folders = [*folders]
    try:
        return _of(folders, _NATIVE)
    except FileNotFoundError:
        for folder in folders:
            if (folder / RECORD).exists():
                record = (folder / RECORD).read_bytes().strip()
                if re.fullmatch(rb"[0-9a-f]{64}", record):
                    return record.decode()
        raise


def _of(folders: Iterable[Path], patterns: Iterable[str]) -> str:
    """Return a digest of names and contents; a file's line ends do not matter.

    A file that is in two folders counts as Python finds it: the first folder wins.
    """
    found: dict[str, Path] = {}
    patterns = [*patterns]
    for folder in folders:
        for path in (path for each in patterns for path in folder.glob(each)):
            found.setdefault(path.relative_to(folder).as_posix(), path)
    if not found:
        raise FileNotFoundError(f"no file of mementum matches {', '.join(patterns)}.")
    together = hashlib.sha256()
    for name, path in sorted(found.items()):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        together.update(f"{name} {len(content)}\n".encode())
        together.update(content)
    return together.hexdigest()
