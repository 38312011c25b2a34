"""Carries out the lab's commands."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from mementum.lab import contender, tasks
from mementum.lab.console import PatientConsole
from mementum.lab.driver import complete, missing, of_plan
from mementum.lab.executor.local import LocalExecutor, cores
from mementum.lab.forecast import Forecast, clock
from mementum.lab.progress import display
from mementum.lab.request import (
    Errand,
    Request,
    RequestError,
    names,
    odd,
    place,
    whole,
)
from mementum.lab.request import page as page_path
from mementum.lab.run import RunRecord, Status
from mementum.lab.search import Grid, Plan, factorial
from mementum.lab.store import Store
from mementum.lab.training import versions

INTERRUPTED = 130
ONE_SEED = (
    "With one seed the learning rate is chosen on the seed it is scored on: scores are "
    "too good, and differences have no interval. Two seeds are the least for both."
)


def compare(arguments: argparse.Namespace) -> int:
    """Run what is missing of the comparison, then show what was found."""
    request = requested(arguments)
    plan = planned(request)
    store = Store(request.folder)
    console = PatientConsole(stderr=True, highlight=False)
    if arguments.dry_run:
        kept = of_plan(plan, store.records())
        return foretell(plan, kept, request, as_json=arguments.json)
    if request.seeds == 1 and not all(task.deterministic for task in plan.tasks):
        console.print(ONE_SEED)
    with store:
        store.write_plan(plan)
        if not carry_out(plan, store, request, console):
            return INTERRUPTED
    return show(plan, store, request.page, as_json=arguments.json)


def requested(arguments: argparse.Namespace) -> Request:
    """Return the command line's options, or raise for the first that is impossible."""
    known = [each.name for each in contender.CONTENDERS]
    reference = names("--reference", arguments.reference, known)
    if len(reference) > 1:
        raise RequestError(f"--reference is {arguments.reference}; give one name.")
    rivals = names("--contenders", arguments.contenders, known)
    folder = place("--out", arguments.out)
    return Request(
        tasks=names("--tasks", arguments.tasks, [task.name for task in tasks.TASKS]),
        contenders=tuple(name for name in known if name in {*rivals, *reference}),
        reference=reference[0],
        seeds=whole("--seeds", arguments.seeds),
        rates=odd("--lrs", arguments.lrs),
        workers=cores()
        if arguments.workers is None
        else whole("--workers", arguments.workers),
        folder=folder,
        page=page_path(arguments.report, folder),
    )


def planned(request: Request) -> Plan:
    """Return the plan that the options ask for."""
    return factorial(
        tasks=[tasks.find(name) for name in request.tasks],
        contenders=[contender.find(name) for name in request.contenders],
        seeds=range(request.seeds),
        grid=Grid(points=request.rates),
        reference=request.reference,
        versions=versions(),
    )


def foretell(
    plan: Plan, kept: Sequence[RunRecord], request: Errand, *, as_json: bool
) -> int:
    """Print how many runs the comparison needs, and how long they should take."""
    total, left = len(plan.specs()), missing(plan, kept)
    seconds = Forecast(plan, left, request.workers, kept=kept).remaining()
    if as_json:
        counts = {"total": total, "done": total - len(left), "missing": len(left)}
        print(json.dumps({"runs": counts, "seconds": round(seconds, 1)}))
        return 0
    print(f"{total} runs: {total - len(left)} done, {len(left)} missing.")
    print(f"About {clock(seconds)} (minutes:seconds) with {request.workers} workers.")
    return 0


def carry_out(
    plan: Plan,
    store: Store,
    request: Errand,
    console: PatientConsole,
) -> bool:
    """Run what is left; return whether it came to its end."""
    kept = of_plan(plan, store.records())
    left = missing(plan, kept)
    forecast = Forecast(plan, left, request.workers, kept=kept)
    over, total = forecast.runs()
    console.print(
        f"{total} runs, {over} done before. Results are kept in {request.folder}.",
        soft_wrap=True,
    )
    shown = display(console, forecast)

    def seen(record: RunRecord) -> None:
        forecast.count(record)
        shown.update()

    try:
        with shown:
            complete(left, store, LocalExecutor(request.workers), seen)
    except KeyboardInterrupt:
        rest = len(missing(plan, store.records()))
        console.print(
            f"Stopped. {total - rest} of {total} runs are done and kept in "
            f"{request.folder}; the same command continues with the other {rest}.",
            soft_wrap=True,
        )
        return False
    if left:
        console.print(forecast.summary())
    return True


def report(arguments: argparse.Namespace) -> int:
    """Show again what the comparison in a folder found."""
    store = Store(place("the folder", arguments.folder))
    if not store.read_plan().reference:
        raise RequestError(
            f"{store.folder} holds claims, not a comparison. "
            f"`mementum reproduce all --out {store.folder}` shows them."
        )
    path = page_path(arguments.report, store.folder)
    return show(store.read_plan(), store, path, as_json=arguments.json)


def show(plan: Plan, store: Store, path: Path, *, as_json: bool) -> int:
    """Print the table, or JSON alone; write the page; return the exit code."""
    from mementum.lab.report import page, terminal
    from mementum.lab.statistics import analyse

    records = of_plan(plan, store.records())
    analysis = analyse(records, plan)
    if as_json:
        text = json.dumps(analysis.to_dict(), indent=1, allow_nan=False)
        PatientConsole().out(text, highlight=False)
    else:
        PatientConsole().print(terminal.table(analysis))
    try:
        page.write(analysis, records, path)
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written ({error.strerror}). The runs are kept; "
            f"`mementum report {store.folder} --report FILE` writes the page elsewhere."
        ) from error
    failed = [record for record in records if record.status is Status.FAILED]
    say = PatientConsole(stderr=as_json, highlight=False, soft_wrap=True)
    for record in failed[:1]:
        spec = record.spec
        say.print(
            f"{len(failed)} of {len(plan.specs())} runs failed, the first of them "
            f"{spec.contender} on {spec.task} (lr {spec.lr:g}, seed {spec.seed}): "
            f"{record.error}. The same command tries them again.",
            markup=False,
        )
    say.print(f"Report: {path}", markup=False)
    return 1 if failed else 0


def listing(_: argparse.Namespace) -> int:
    """Print the tasks and the contenders."""
    from mementum.lab.report.methods import plain

    console = PatientConsole(highlight=False)
    table = Table("task", "what it is", "steps", "seconds a run", box=None)
    for task in tasks.TASKS:
        table.add_row(task.name, task.title, f"{task.steps:,}", f"{task.seconds:g}")
    console.print(table)
    console.print()
    table = Table("contender", "learning rate", "other hyperparameters", box=None)
    for each in contender.CONTENDERS:
        others = ", ".join(f"{name} {plain(v)}" for name, v in each.options.items())
        table.add_row(each.name, f"{each.lr:g}", others)
    console.print(table)
    return 0


def reproduce(arguments: argparse.Namespace) -> int:
    """Run the claims of the papers and show the ledger."""
    from mementum.lab.claims.commands import reproduce

    return reproduce(arguments)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "compare": compare,
    "report": report,
    "tasks": listing,
    "reproduce": reproduce,
}
