"""The options of the commands on what is kept: query, merge, status and export."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

QUERY = (
    "Answer an SQL query over two tables: runs, a row for each run, and curves, a row "
    "for each point of its learning curve. They are copies: a query changes no result. "
    'Example: mementum query "SELECT contender, min(score) FROM runs GROUP BY ALL"'
)
MERGE = (
    "Add the results of several folders to one. Neither the order of the folders nor "
    "repeating the command changes what comes of it."
)
STATUS = "Say which runs of a comparison are done, failed and missing."
EXPORT = "Write the tables runs and curves as files that other programs read."


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_archive(
    commands: Commands, run: Callable[[argparse.Namespace], int], folder: str
) -> None:
    """Add the commands, which read ``folder`` unless told another."""
    named = {
        "query": query(commands, folder),
        "merge": merge(commands),
        "status": status(commands, folder),
        "export": export(commands, folder),
    }
    for name, parser in named.items():
        parser.set_defaults(run=run, lab=name, module="mementum.lab.archive")


def query(commands: Commands, folder: str) -> argparse.ArgumentParser:
    """Add the options of a query."""
    parser = commands.add_parser(
        "query", help="ask the results in SQL", description=QUERY
    )
    parser.add_argument("sql", metavar="SQL", help="the query")
    add_folder(parser, folder)
    parser.add_argument(
        "--format",
        choices=["table", "csv", "json"],
        default="table",
        help="how the answer is printed (default: table)",
    )
    return parser


def merge(commands: Commands) -> argparse.ArgumentParser:
    """Add the options of a merge."""
    parser = commands.add_parser(
        "merge", help="bring several folders together", description=MERGE
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
    return parser


def status(commands: Commands, folder: str) -> argparse.ArgumentParser:
    """Add the options of the status."""
    parser = commands.add_parser(
        "status", help="say how far a comparison has come", description=STATUS
    )
    add_folder(parser, folder)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    return parser


def export(commands: Commands, folder: str) -> argparse.ArgumentParser:
    """Add the options of an export."""
    parser = commands.add_parser(
        "export", help="write the results as Parquet or CSV", description=EXPORT
    )
    add_folder(parser, folder)
    parser.add_argument("--to", required=True, metavar="FOLDER", help="where to write")
    parser.add_argument(
        "--format",
        choices=["parquet", "csv"],
        default="parquet",
        help="kind of the files (default: parquet)",
    )
    return parser


def add_folder(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add the folder that a command reads."""
    parser.add_argument(
        "folder", nargs="?", default=folder, help=f"its folder (default: {folder})"
    )
