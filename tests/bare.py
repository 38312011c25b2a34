"""A Python that has mementum and NumPy, and nothing else that is installed here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import mementum


def laid_out(folder: Path) -> Path:
    """Lay mementum and NumPy out in a folder, and return it."""
    around = Path(np.__file__).parents[1]
    for path in [Path(mementum.__file__).parent, *around.glob("numpy*")]:
        (folder / path.name).symlink_to(path)
    return folder


def package(folder: Path, name: str, code: str = "") -> None:
    """Write a package of one file, with the metadata of version 1.2."""
    (folder / f"{name}.py").write_text(code, "utf-8")
    about = folder / f"{name}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {name}\nVersion: 1.2\n", "utf-8")


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where only a folder and the standard library are imported from."""
    # Without the module site, Python has no site-packages.
    return subprocess.run(
        [sys.executable, "-S", "-W", "error", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
