"""The commands on what is kept: query, merge, status and export."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

_QUERY = (
    "Answer an SQL query over two tables: runs, a row for each run, and curves, a row "
    "for each point of its learning curve. They are copies: a query changes no result. "
)


_MERGE = (
    "Add the results of several folders to one. Neither the order of the folders nor "
    "repeating the command changes what comes of it."
)


_STATUS = "Say which runs of a comparison are done, failed and missing."


_EXPORT = "Write the tables runs and curves as files that other programs read."


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_archive(
    commands: _Commands, run: Callable[[argparse.Namespace], int], folder: str
) -> None:
    """Add the commands, which read ``folder`` unless told another."""
    named = {
        "query": _query(commands, folder),
        "merge": _merge(commands),
        "status": _status(commands, folder),
        "export": _export(commands, folder),
    }
    for name, parser in named.items():
        parser.set_defaults(run=run, lab=name, module="mementum.lab.cli.archive")


def _query(commands: _Commands, folder: str) -> argparse.ArgumentParser:
    """Add the options of a query."""
    parser = commands.add_parser(
        "query", help="ask the results in SQL", description=_QUERY
    )
    parser.add_argument("sql", metavar="SQL", help="the query")
    _add_folder(parser, folder)
    parser.add_argument(
        "--format",
        choices=["table", "csv", "json"],
        default="table",
        help="how the answer is printed (default: table)",
    )
    parser.add_argument(
        "--json",
        action="store_const",
        const="json",
        dest="format",
        help="the same as --format json",
    )
    return parser


def _merge(commands: _Commands) -> argparse.ArgumentParser:
    """Add the options of a merge."""
    parser = commands.add_parser(
        "merge", help="bring several folders together", description=_MERGE
    )
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="what to add")
    parser.add_argument(
        "--into", required=True, metavar="FOLDER", help="what to add to"
    )
    parser.add_argument(
        "--pool",
        action="store_true",
        help="also where the machines or versions differ",
    )
    parser.add_argument("--json", action="store_true", help="print JSON only")
    return parser


def _status(commands: _Commands, folder: str) -> argparse.ArgumentParser:
    """Add the options of the status."""
    parser = commands.add_parser(
        "status", help="say how far a comparison has come", description=_STATUS
    )
    _add_folder(parser, folder)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    return parser


def _export(commands: _Commands, folder: str) -> argparse.ArgumentParser:
    """Add the options of an export."""
    parser = commands.add_parser(
        "export", help="write the results as Parquet or CSV", description=_EXPORT
    )
    _add_folder(parser, folder)
    parser.add_argument("--to", required=True, metavar="FOLDER", help="where to write")
    parser.add_argument(
        "--format",
        choices=["parquet", "csv"],
        default="parquet",
        help="kind of the files (default: parquet)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON only")
    return parser


def _add_folder(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add the folder that a command reads."""
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER",
        default=folder,
        help=f"its folder (default: {folder})",
    )
