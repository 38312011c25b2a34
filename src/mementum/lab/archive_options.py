"""The options of the commands on what is kept: query, merge, status and export."""

from __future__ import annotations

import argparse
from collections.abc import Callable

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


def add_archive(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    run: Callable[[argparse.Namespace], int],
    folder: str,
) -> None:
    """Add the commands, which read ``folder`` unless told another."""
    query = commands.add_parser(
        "query", help="ask the results in SQL", description=QUERY
    )
    query.add_argument("sql", metavar="SQL", help="the query")
    add_folder(query, folder)
    query.add_argument(
        "--format",
        choices=["table", "csv", "json"],
        default="table",
        help="how the answer is printed (default: table)",
    )
    merge = commands.add_parser(
        "merge", help="bring several folders together", description=MERGE
    )
    merge.add_argument("folders", nargs="+", metavar="FOLDER", help="what to add")
    merge.add_argument("--into", required=True, metavar="FOLDER", help="what to add to")
    merge.add_argument(
        "--pool",
        action="store_true",
        help="also where the machines or versions differ",
    )
    status = commands.add_parser(
        "status", help="say how far a comparison has come", description=STATUS
    )
    add_folder(status, folder)
    status.add_argument("--json", action="store_true", help="print JSON only")
    export = commands.add_parser(
        "export", help="write the results as Parquet or CSV", description=EXPORT
    )
    add_folder(export, folder)
    export.add_argument("--to", required=True, metavar="FOLDER", help="where to write")
    export.add_argument(
        "--format",
        choices=["parquet", "csv"],
        default="parquet",
        help="kind of the files (default: parquet)",
    )
    named = {"query": query, "merge": merge, "status": status, "export": export}
    for name, parser in named.items():
        parser.set_defaults(run=run, lab=name, module="mementum.lab.archive")


def add_folder(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add the folder that a command reads."""
    parser.add_argument(
        "folder", nargs="?", default=folder, help=f"its folder (default: {folder})"
    )
