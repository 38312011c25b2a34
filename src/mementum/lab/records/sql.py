"""The records of a store as SQL tables, and those tables as files."""

from __future__ import annotations

import errno
import os
import re
import types
import typing
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from pathlib import Path

import duckdb

from mementum.lab.errors import LabError
from mementum.lab.records import atomic, segments
from mementum.lab.records.run import RunRecord, RunSpec

TABLES = ("runs", "curves")
FORMATS = ("parquet", "csv")
_TYPES = {str: "VARCHAR", bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"}
"""SQL types of a run's fields by their Python types; any other becomes JSON."""


class _QueryError(LabError):
    """A query cannot be answered; the message is the database's own."""


def tables(
    records: Sequence[RunRecord], planned: Collection[str]
) -> duckdb.DuckDBPyConnection:
    """Return a database of ``runs``, a row for each, and of ``curves``, one a point.

    A field of a run or of its spec is a column. Whatever is done to the tables, the
    store stays as it is.
    """
    base = segments.database()
    ids = [record.spec.run_id for record in records]
    segments.fill(
        base,
        "kept",
        {
            "place": ("BIGINT", range(len(ids))),
            "run_id": ("VARCHAR", ids),
            "planned": ("BOOLEAN", [run_id in planned for run_id in ids]),
            "task_label": ("VARCHAR", [r.spec.task_label for r in records]),
            "contender_label": ("VARCHAR", [r.spec.contender_label for r in records]),
            "record": ("JSON", [record.to_json() for record in records]),
        },
    )
    columns = [*_columns_of(RunSpec, "$.spec."), *_columns_of(RunRecord, "$.")]
    base.execute(
        f"CREATE TABLE runs AS SELECT run_id, planned, {', '.join(columns)} "  # noqa: S608
        "FROM kept ORDER BY place"
    )
    base.execute(_CURVES)
    base.execute("DROP TABLE kept")
    return base


_CURVES = """
CREATE TABLE curves AS SELECT
  run_id,
  unnest(from_json(record -> '$.curve.steps', '["BIGINT"]')) AS step,
  unnest(from_json(record -> '$.curve.train', '["DOUBLE"]')) AS train,
  unnest(from_json(record -> '$.curve.validation', '["DOUBLE"]')) AS validation
FROM kept ORDER BY place, step
"""


def _columns_of(kind: type[RunSpec] | type[RunRecord], where: str) -> list[str]:
    """Return the SQL for the plain fields of a spec or record: it follows the class."""
    hints = typing.get_type_hints(kind, localns={"Option": object})
    names = [field.name for field in fields(kind)]
    return [
        _column(name, hints[name], where)
        for name in names
        if name not in ("spec", "curve")
    ]


def _column(name: str, hint: object, where: str) -> str:
    """Return the SQL for one field; a task and a contender go by their labels."""
    if f"{name}_label" in vars(RunSpec):
        return f'{name}_label AS "{name}"'
    if kind := type_of(hint):
        return f"CAST(record ->> '{where}{name}' AS {kind}) AS \"{name}\""
    return f"record -> '{where}{name}' AS \"{name}\""


def type_of(hint: object) -> str | None:
    """Return the SQL type of a Python type, or of it or None."""
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    for known, kind in _TYPES.items():
        if isinstance(hint, type) and issubclass(hint, known):
            return kind
    return None


def ask(
    base: duckdb.DuckDBPyConnection, query: str
) -> tuple[list[str], list[tuple[object, ...]]]:
    """Return the names of the answer's columns, and its rows.

    One that reads is answered, and it sees no file: whatever else would act on the
    world.
    """
    if any("\ud800" <= each <= "\udfff" for each in query):
        raise _QueryError("The query holds characters that are no text.")
    try:
        statements = base.extract_statements(query)
        if not statements:
            raise _QueryError('The query is empty; "FROM runs" shows all runs.')
        if len(statements) > 1 or not _reads(statements[0]):
            raise _QueryError(
                "A query is one SELECT over runs and curves, or WITH, DESCRIBE, SHOW, "
                "SUMMARIZE or PIVOT, and this is something else; `mementum export` "
                "writes the tables as files."
            )
        base.execute("SET enable_external_access = false")
        base.execute("SET python_enable_replacements = false")
        answer = base.execute(statements[0])
        names = [each[0] for each in answer.description or []]
        return names, answer.fetchall()
    except duckdb.PermissionException as error:
        raise _QueryError(
            "A query sees the tables runs and curves, and no file; `mementum export` "
            "writes them for programs that read others too."
        ) from error
    except duckdb.Error as error:
        raise _QueryError(str(error).strip()) from error


def _reads(statement: duckdb.Statement) -> bool:
    """Return whether a statement answers and changes nothing.

    The database takes a PIVOT apart, into a type of what it finds and a SELECT: its
    first word tells it from a table that is made of one.
    """
    if statement.type == duckdb.StatementType.MULTI:
        found = _FIRST_WORD.match(statement.query)
        return found is not None and found[1].upper() in _READING
    return bool(statement.type == duckdb.StatementType.SELECT)


_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(\w+)", re.DOTALL)
_READING = ("PIVOT", "PIVOT_WIDER", "SELECT", "FROM")


def export(
    base: duckdb.DuckDBPyConnection,
    folder: Path,
    form: str,
    names: Iterable[str] = TABLES,
) -> list[Path]:
    """Write each table into a file of the folder; return the files.

    Errors:
        OSError: The folder cannot be written, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names:
        path = folder / f"{name}.{form}"
        table = base.table(name)
        try:
            with atomic.replacing(path) as fresh:
                if form == "parquet":
                    table.write_parquet(str(fresh), compression="zstd")
                else:
                    table.write_csv(str(fresh))
        except duckdb.Error as error:
            words = str(error).splitlines()[0]
            if (full := os.strerror(errno.ENOSPC)) in words:
                raise OSError(errno.ENOSPC, full, path) from error
            raise OSError(errno.EIO, words, path) from error
        written.append(path)
    return written
