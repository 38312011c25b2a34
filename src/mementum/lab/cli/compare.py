"""Carries out the commands on comparisons: compare, report, tasks and contenders."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rich.markup import escape

from mementum.lab import arguments, experiment
from mementum.lab.claims.ledger import json_form
from mementum.lab.cli import validation
from mementum.lab.cli.progress import PatientConsole
from mementum.lab.cli.session import (
    foretell,
    say_failures,
    shown_on,
    stoppable,
    workforce,
    writing,
)
from mementum.lab.cli.trackers import watch
from mementum.lab.errors import LabError
from mementum.lab.experiment.comparison import reaching
from mementum.lab.planning.stages import grown
from mementum.lab.records.journal import Store, spare
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import strict
from mementum.lab.running.driver import of_plan
from mementum.lab.tasks import registry
from mementum.lab.tasks.data.download import OFFLINE
from mementum.machine import cores

_ONE_SEED = "With one fresh seed differences have no interval. Two are the least."


def _compare(options: argparse.Namespace) -> int:
    """Run what is missing of the comparison, then show what was found."""
    if options.offline:
        os.environ[OFFLINE] = "1"
    folder = arguments.folder("folder", options.out)
    page = _page(options.report, folder)
    workers = workforce(options)
    plan = _planned(options)
    for sentence in plan.left_out:
        PatientConsole(stderr=True).print(sentence, soft_wrap=True, markup=False)
    if options.dry_run:
        records = Store(folder).records()
        if options.until is not None:
            plan = reaching(plan, options.until)
        plan = grown(plan, records)
        return foretell(plan, of_plan(plan, records), workers, as_json=options.json)
    console = PatientConsole(stderr=True, highlight=False)
    chance = not all(task.deterministic for task in plan.tasks)
    if chance and plan.design is not None and plan.design.looks == (1,):
        console.print(_ONE_SEED)
    tracker = None if options.log is None else watch(options.log, folder)
    with stoppable(console, Store(folder)):
        found = experiment.compare(
            plan,
            folder,
            workers=options.workers,
            dask=options.dask,
            device=options.device,
            until=options.until,
            budget=options.budget,
            observer=shown_on(console, tracker),
        )
    return _show(found, folder, page, options)


def _planned(options: argparse.Namespace) -> Plan:
    """Return the plan that the options ask for."""
    with _rehearsing(options.task or ()):
        return experiment.plan(
            validation.listed(options.tasks),
            validation.contenders(options),
            lr=validation.rates(options.lr),
            files=options.task,
            tier=options.tier,
            seeds=options.seeds,
            lrs=options.lrs,
            reference=options.reference,
            trials=options.trials,
            widen=options.widen,
            schedules=validation.listed(options.schedule),
            weight_decay=options.weight_decay,
            device=options.device,
        )


def _rehearsing(files: Sequence[str]) -> AbstractContextManager[object]:
    """Say on a terminal what is waited for, as the files' own data may take a while."""
    if not files:
        return nullcontext()
    names = ", ".join(Path(each).name for each in files)
    return PatientConsole(stderr=True).status(f"Rehearsing {escape(names)}")


def _page(text: str | None, folder: Path) -> Path:
    """Return where the page goes: the file asked for, or one in the folder."""
    if text is None:
        return folder / experiment.PAGE
    path = arguments.folder("--report", text)
    spare(path, "--report", like=experiment.PAGE_BEGINS)
    if path.is_dir():
        raise LabError(f"--report is {text}, a folder; give a file.")
    if not path.parent.is_dir():
        raise LabError(f"--report is {text}, and {path.parent} is no folder.")
    return path


def _report(options: argparse.Namespace) -> int:
    """Show again what the comparison in a folder found."""
    found = experiment.read(options.folder)
    folder = Path(options.folder)
    page = _page(options.report, folder)
    ledger = options.ledger
    if ledger is not None:
        ledger = arguments.folder("ledger", ledger)
        json_form.read(ledger)
    return _show(found, folder, page, options, ledger)


def _show(
    found: experiment.Comparison,
    folder: Path,
    page: Path,
    options: argparse.Namespace,
    ledger: Path | None = None,
) -> int:
    """Print the finding, or JSON alone; write the page; return the exit code."""
    if options.json:
        text = json.dumps(found.to_dict(), indent=1, allow_nan=False)
        PatientConsole().out(text, highlight=False)
    else:
        PatientConsole().print(found.table(details=options.details))
    try:
        with writing(PatientConsole(stderr=True, highlight=False), "the page") as seen:
            found.report(page, ledger, seen)
    except OSError as error:
        raise LabError(
            f"{error.filename or page} cannot be written ({error.strerror}). The runs "
            f"are kept; `mementum report {folder} --report FILE` writes the page "
            "elsewhere."
        ) from error
    say = PatientConsole(stderr=options.json, highlight=False, soft_wrap=True)
    failed = say_failures(found.records, found.plan, say)
    say.print(f"Report: {page}", markup=False)
    return 1 if failed else 0


def _list(options: argparse.Namespace) -> int:
    """Print the tasks and the contenders."""
    from mementum.lab.cli import listed_data
    from mementum.lab.cli import task_listing as page

    if options.json:
        return _print_json(listed_data.of_lab(cores()))
    console = PatientConsole(highlight=False)
    tables = page.tasks(), page.sizes(), page.noise(), page.tiers(cores())
    for table in (*tables, page.contenders()):
        console.print(table)
        console.print()
    for complaint in registry.complaints():
        console.print(complaint, soft_wrap=True, markup=False)
    return 0


def _list_contenders(options: argparse.Namespace) -> int:
    """Print a line for each contender."""
    from mementum.lab.cli import listed_data
    from mementum.lab.cli.task_listing import contender_lines

    sources = [*options.sources, *(options.contender or ())]
    if options.json:
        return _print_json(listed_data.of_contenders(sources))
    print(*contender_lines(sources), sep="\n")
    return 0


def _print_json(data: dict[str, object]) -> int:
    print(json.dumps(strict(data), indent=1, allow_nan=False))
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "compare": _compare,
    "contenders": _list_contenders,
    "report": _report,
    "tasks": _list,
}
