"""Keeps records in Parquet files that are never changed once they are there."""

from __future__ import annotations

import functools
import glob
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import duckdb

from mementum.lab.records import atomic

_SUFFIX = ".parquet"

_Columns: TypeAlias = Mapping[str, tuple[str, Sequence[object]]]


class _SegmentError(ValueError):
    """A segment does not hold what was written into it."""


def database() -> duckdb.DuckDBPyConnection:
    """Return an empty database in memory, which asks the network for nothing."""
    return duckdb.connect(
        ":memory:", config={"threads": 1, "autoinstall_known_extensions": False}
    )


@functools.cache
def _engine() -> duckdb.DuckDBPyConnection:
    """Return the database through which segments pass; opening one takes a while."""
    return database()


def write(folder: Path, ids: Sequence[str], lines: Sequence[str]) -> Path:
    """Keep the lines, each with its run's id, and wait until the disk has them.

    The file is named for what it holds: writing the same lines again changes nothing,
    and files of several folders can lie in one.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"{_digest(lines)}{_SUFFIX}"
    columns = {"run_id": ("VARCHAR", ids), "record": ("VARCHAR", lines)}
    with atomic.replacing(path) as fresh, _engine().cursor() as base:
        fill(base, "segment", columns)
        base.table("segment").write_parquet(str(fresh), compression="zstd")
    atomic.sync(folder)
    return path


def fill(base: duckdb.DuckDBPyConnection, name: str, columns: _Columns) -> None:
    """Make a table of columns, each of an SQL type and with its values."""
    names = ", ".join(f'"{column}" {kind}' for column, (kind, _) in columns.items())
    base.execute(f'CREATE TEMP TABLE "{name}" ({names})')
    lists = ", ".join(
        f"unnest(${place}::{kind}[])"
        for place, (kind, _) in enumerate(columns.values(), start=1)
    )
    base.execute(
        f'INSERT INTO "{name}" SELECT {lists}',
        [list(values) for _, values in columns.values()],
    )


def read(path: Path) -> list[str]:
    """Return the lines of a segment, or raise ``_SegmentError``."""
    try:
        with _engine().cursor() as base:
            rows = base.read_parquet(glob.escape(str(path))).project("record")
            lines = [str(line) for (line,) in rows.fetchall()]
    except duckdb.Error as error:
        raise _SegmentError(str(error).splitlines()[0]) from error
    if _digest(lines) != path.stem:
        raise _SegmentError("its content does not belong to its name")
    return lines


def listed(folder: Path) -> list[Path]:
    """Return the segments of a folder, by name."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def drop_unfinished(folder: Path) -> None:
    """Remove what a process left that died while it wrote a segment."""
    for path in folder.glob(f"*{atomic.UNFINISHED}"):
        path.unlink(missing_ok=True)


def _digest(lines: Sequence[str]) -> str:
    """Return the name of the segment that holds these lines."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
