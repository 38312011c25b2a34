"""Carries out the lab's commands."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

from mementum.lab.claims.ledger import json_form
from mementum.lab.cli.progress import PatientConsole
from mementum.lab.cli.request import (
    Request,
    RequestError,
    asked,
    cluster,
    count,
    decay,
    names,
    odd,
    own_tasks,
    place,
    schedule_names,
    task_names,
    tier,
    whole,
)
from mementum.lab.cli.request import page as page_path
from mementum.lab.cli.session import INTERRUPTED, carry_out, foretell, workforce
from mementum.lab.cli.trackers import watched
from mementum.lab.experiment import Comparison, pursue
from mementum.lab.planning import contender
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.planning.schedule import under
from mementum.lab.planning.tiers import SPENDING
from mementum.lab.planning.widen import grown
from mementum.lab.records.journal import Store
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import Status
from mementum.lab.running.driver import of_plan
from mementum.lab.running.versions import versions
from mementum.lab.tasks import registry
from mementum.lab.tasks.data.download import OFFLINE
from mementum.machine import cores

ONE_SEED = (
    "With one seed the learning rate is chosen on the seed it is scored on: scores are "
    "too good, and differences have no interval. Two seeds are the least for both."
)


def compare(arguments: argparse.Namespace) -> int:
    """Run what is missing of the comparison, then show what was found."""
    if arguments.offline:
        os.environ[OFFLINE] = "1"
    request = requested(arguments)
    plan = planned(request)
    store = Store(request.folder)
    console = PatientConsole(stderr=True, highlight=False)
    if arguments.dry_run:
        plan = grown(plan, store.records(), request.widen)
        kept = of_plan(plan, store.records())
        return foretell(plan, kept, request, as_json=arguments.json)
    if request.seeds == 1 and not all(task.deterministic for task in plan.tasks):
        console.print(ONE_SEED)
    executor = workforce(request)
    seen = watched(request)

    def carry(wider: Plan, store: Store) -> bool:
        return carry_out(wider, store, executor, request, console, seen)

    with store:
        finished = pursue(plan, store, request.widen, carry)
    if finished is None:
        return INTERRUPTED
    return show(finished, store, request.page, as_json=arguments.json)


def requested(arguments: argparse.Namespace) -> Request:
    """Return the command line's options, or raise for the first that is impossible."""
    known = [each.name for each in contender.CONTENDERS]
    chosen = tier("--tier", arguments.tier)
    spending = SPENDING[chosen]
    reference = names("--reference", arguments.reference, known)
    if len(reference) > 1:
        raise RequestError(f"--reference is {arguments.reference}; give one name.")
    rivals = names("--contenders", arguments.contenders, known)
    folder = place("--out", arguments.out)
    dask = cluster(arguments.dask, arguments.workers, arguments.task)
    plain = arguments.task and arguments.tasks is None
    return Request(
        tier=chosen,
        tasks=() if plain else task_names(arguments.tasks, chosen),
        own=own_tasks(arguments.task),
        contenders=tuple(name for name in known if name in {*rivals, *reference}),
        reference=reference[0],
        seeds=asked("--seeds", arguments.seeds, spending.seeds, whole),
        rates=asked("--lrs", arguments.lrs, spending.rates, odd),
        workers=asked("--workers", arguments.workers, cores(), whole),
        dask=dask,
        folder=folder,
        page=page_path(arguments.report, folder),
        trials=asked("--trials", arguments.trials, spending.trials, count),
        widen=asked("--widen", arguments.widen, spending.widen, count),
        schedules=asked(
            "--schedule", arguments.schedule, spending.schedules, schedule_names
        ),
        weight_decay=asked("--weight-decay", arguments.weight_decay, None, decay),
        log=arguments.log,
    )


def planned(request: Request) -> Plan:
    """Return the plan that the options ask for."""
    of_lab = [t for t in registry.of_tier(request.tier) if t.name in request.tasks]
    return factorial(
        tasks=[
            under(task, schedule)
            for task in (*of_lab, *request.own)
            for schedule in request.schedules
        ],
        contenders=[contender.find(name) for name in request.contenders],
        seeds=range(request.seeds),
        grid=Grid(points=request.rates, factor=SPENDING[request.tier].factor),
        reference=request.reference,
        versions=versions(),
        trials=request.trials,
        widen=request.widen,
        weight_decay=request.weight_decay,
    )


def report(arguments: argparse.Namespace) -> int:
    """Show again what the comparison in a folder found."""
    store = Store(place("the folder", arguments.folder))
    if not store.read_plan().reference:
        raise RequestError(
            f"{store.folder} holds claims, not a comparison. "
            f"`mementum reproduce all --out {store.folder}` shows them."
        )
    path = page_path(arguments.report, store.folder)
    ledger = arguments.ledger
    if ledger is not None:
        ledger = place("--ledger", ledger)
        json_form.read(ledger)
    return show(store.read_plan(), store, path, ledger, as_json=arguments.json)


def show(
    plan: Plan, store: Store, path: Path, ledger: Path | None = None, *, as_json: bool
) -> int:
    """Print the table, or JSON alone; write the page; return the exit code."""
    from mementum.lab.report import terminal

    found = Comparison(plan, of_plan(plan, store.records()))
    if as_json:
        text = json.dumps(found.to_dict(), indent=1, allow_nan=False)
        PatientConsole().out(text, highlight=False)
    else:
        PatientConsole().print(terminal.table(found.analysis))
    try:
        found.report(path, ledger)
    except OSError as error:
        raise RequestError(
            f"{error.filename or path} cannot be written ({error.strerror}). The runs "
            f"are kept; `mementum report {store.folder} --report FILE` writes the page "
            "elsewhere."
        ) from error
    records = found.records
    failed = [record for record in records if record.status is Status.FAILED]
    say = PatientConsole(stderr=as_json, highlight=False, soft_wrap=True)
    for record in failed[:1]:
        spec = record.spec
        say.print(
            f"{len(failed)} of {len(plan.specs())} runs failed, the first of them "
            f"{spec.contender_label} on {spec.task_label} (lr {spec.lr:g}, seed "
            f"{spec.seed}): {record.error}. The same command tries them again.",
            markup=False,
        )
    say.print(f"Report: {path}", markup=False)
    return 1 if failed else 0


def listing(_: argparse.Namespace) -> int:
    """Print the tasks and the contenders."""
    from mementum.lab.cli import task_listing as page

    console = PatientConsole(highlight=False)
    for table in (page.tasks(), page.sizes(), page.tiers(cores()), page.contenders()):
        console.print(table)
        console.print()
    for complaint in registry.complaints():
        console.print(complaint, soft_wrap=True)
    return 0


def reproduce(arguments: argparse.Namespace) -> int:
    """Run the claims of the papers and show the ledger."""
    from mementum.lab.cli.reproduce import reproduce

    return reproduce(arguments)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "compare": compare,
    "report": report,
    "tasks": listing,
    "reproduce": reproduce,
}
