"""Carries out the commands on what is kept: query, merge, status and export."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mementum.lab import arguments
from mementum.lab.cli.progress import PatientConsole
from mementum.lab.errors import LabError
from mementum.lab.records import segments, sql
from mementum.lab.records.journal import PLAN, Store, complaint, resolve, spare
from mementum.lab.records.merge import disputed, merge, provenance
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord, Status, strict
from mementum.lab.running.driver import missing

_WIDE = 100_000
"""Columns of a page that is not a terminal: no row of a table is folded."""


def _query(options: argparse.Namespace) -> int:
    """Answer an SQL query over the tables ``runs`` and ``curves``."""
    store = _existing(options.folder)
    with sql.tables(store.records(), _planned(store)) as base:
        names, rows = sql.ask(base, options.sql)
    if options.format == "json":
        print(json.dumps(strict(_objects(names, rows)), indent=1, default=str))
    elif options.format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([names, *rows])
    else:
        table = Table(*map(escape, names), box=None)
        for row in rows:
            table.add_row(*(Text("" if value is None else str(value)) for value in row))
        _page().print(table)
    return 0


def _objects(
    names: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> list[dict[str, object]]:
    """Return rows as objects; columns of one name would lose all values but one."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise LabError(
            f"The answer has several columns named {twice[0]}; name them apart with AS."
        )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _merge_folders(options: argparse.Namespace) -> int:
    """Add the records of several folders to one."""
    sources = [
        Store(arguments.folder("a folder", folder)) for folder in options.folders
    ]
    target = Store(arguments.folder("--into", options.into))
    came = merge(sources, target, pool=options.pool)
    if options.json:
        print(json.dumps({"folder": str(target.folder), **asdict(came)}, indent=1))
        return 0
    print(f"{target.folder}: {came.runs} runs, {came.taken} records taken over.")
    if came.disputed:
        print(_dispute(came.disputed))
    return 0


def _status(options: argparse.Namespace) -> int:
    """Say what a folder holds and what its plan still lacks."""
    store = _existing(options.folder)
    every = store.every()
    records = resolve(every)
    plan = store.read_plan() if (store.folder / PLAN).exists() else None
    counts = _by_task(records, plan)
    if options.json:
        tasks = {task: dict(count) for task, count in counts.items()}
        plain = {"tasks": tasks, "disputed": disputed(every), **_kept(store)}
        print(json.dumps(plain, indent=1))
        return 0
    table = Table("task", *_COUNTED, box=None)
    for task, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        table.add_row(Text(task), *(f"{count[word]:,}" for word in _COUNTED))
    console = _page()
    console.print(table)
    size = _kept(store)
    console.print(
        f"\nKept in {size['segments']} segment{'s' * (size['segments'] != 1)} and a "
        f"journal of {size['journal']:,} bytes.",
        markup=False,
    )
    for machine in sorted({provenance(record) for record in records}):
        console.print(f"Run on: {machine}", markup=False)
    if several := disputed(every):
        console.print(_dispute(several))
    return 0


_COUNTED = ("planned", *Status, "missing")


def _by_task(records: list[RunRecord], plan: Plan | None) -> dict[str, Counter[str]]:
    """Return, for each task, how many runs are planned, over in each way, and left.

    Without a plan every run counts as planned. A failed run is tried again, so it is
    among the missing too.
    """
    counts: dict[str, Counter[str]] = {}
    specs = [r.spec for r in records] if plan is None else plan.specs()
    wanted = {spec.run_id for spec in specs}
    for spec in specs:
        counts.setdefault(spec.task_label, Counter())["planned"] += 1
    for record in records:
        if record.spec.run_id in wanted:
            counts[record.spec.task_label][record.status] += 1
    for spec in missing(plan, records) if plan else ():
        counts[spec.task_label]["missing"] += 1
    return counts


def _kept(store: Store) -> dict[str, int]:
    """Return how many segments there are, and how long the journal is."""
    journal = store.journal.stat().st_size if store.journal.exists() else 0
    return {"segments": len(segments.listed(store.segments)), "journal": journal}


def _export(options: argparse.Namespace) -> int:
    """Write the tables ``runs`` and ``curves`` as files that other programs read."""
    store = _existing(options.folder)
    folder = arguments.folder("--to", options.to)
    for name in sql.TABLES:
        spare(folder / f"{name}.{options.format}", "--to")
    with sql.tables(store.records(), _planned(store)) as base:
        try:
            files = [str(path) for path in sql.export(base, folder, options.format)]
        except OSError as error:
            raise LabError(complaint(error, folder)) from error
    print(json.dumps({"files": files}, indent=1) if options.json else "\n".join(files))
    return 0


def _existing(text: str) -> Store:
    """Return the store of a folder that holds something."""
    store = Store(arguments.folder("the folder", text))
    if not store.exists():
        raise LabError(
            f"{store.folder} holds no results. Name the --out folder of a comparison."
        )
    return store


def _planned(store: Store) -> set[str]:
    """Return the ids of the runs in the folder's plan; none without a plan."""
    if not (store.folder / PLAN).exists():
        return set()
    return {spec.run_id for spec in store.read_plan().specs()}


def _dispute(count: int) -> str:
    """Return the sentence on runs with several results."""
    return (
        f"{count} runs have several results that differ. One of each is drawn by a "
        "rule that sees no value; `mementum query` shows where it ran."
    )


def _page() -> PatientConsole:
    """Return a console that folds no row where nobody sees its width."""
    console = PatientConsole(highlight=False)
    return (
        console if console.is_terminal else PatientConsole(highlight=False, width=_WIDE)
    )


COMMANDS = {
    "query": _query,
    "merge": _merge_folders,
    "status": _status,
    "export": _export,
}
