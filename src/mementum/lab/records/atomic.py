"""A file is written beside its place and then takes it: it is whole or the old one."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED = ".new"
"""Ends the name of a file that is being written."""


@contextmanager
def replacing(path: Path, beside: Path | None = None) -> Generator[Path, None, None]:
    """Yield a file to write; it takes the path's place once the disk has it.

    Whatever is raised meanwhile leaves the path as it was and nothing beside it. Give
    the file beside where several processes may write the same path at once.

    Errors:
        OSError: The folder cannot be written, or the disk is full.
    """
    fresh = beside or path.with_name(path.name + UNFINISHED)
    try:
        yield fresh
        sync(fresh)
        fresh.replace(path)
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text into the path's place in one step.

    Errors:
        OSError: The folder cannot be written, or the disk is full.
    """
    with replacing(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Wait until the disk has the file, or the folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
