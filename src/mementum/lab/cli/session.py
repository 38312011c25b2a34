"""A sitting: plans that the command line carries out in sight of the user."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mementum.lab.cli.progress import PatientConsole, display
from mementum.lab.planning.forecast import Forecast, waiting
from mementum.lab.records.journal import Store, StoreError
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.running.driver import Listener, Observer, Round, missing, of_plan
from mementum.lab.running.executors.choice import number
from mementum.lab.running.stepping.device import chosen


def workforce(options: argparse.Namespace) -> int:
    """Return how many processes the options ask for; a cluster has its own cards."""
    device = chosen(options.device)
    return number(options.workers, device.cards() if options.dask is None else ())


def foretell(
    plan: Plan, records: Sequence[RunRecord], workers: int, *, as_json: bool
) -> int:
    """Print how many runs the comparison needs, and how long they should take."""
    forecast = Forecast(plan, missing(plan, records), workers, kept=records)
    (done, total), seconds = forecast.runs(), forecast.remaining()
    if as_json:
        counts = {"total": total, "done": done, "missing": total - done}
        print(json.dumps({"runs": counts, "seconds": round(seconds, 1)}))
        return 0
    print(f"{total} runs: {done} done, {total - done} missing.")
    if done < total:
        told = f"{workers} worker" + "s" * (workers != 1)
        print(f"About {waiting(seconds)} with {told}.")
    if plan.design is not None and done < total:
        print("Widened grids and further looks at what is open add runs to these.")
    return 0


@contextmanager
def stoppable(console: PatientConsole, store: Store) -> Generator[None, None, None]:
    """Say, where Ctrl-C ends what is inside, what the store keeps and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        with suppress(StoreError):
            plan = store.read_plan()
            records = of_plan(plan, store.records())
            done, total = Forecast(plan, missing(plan, records), 1).runs()
            console.print(
                f"Stopped. {done} of {total} runs are done and kept in {store.folder}; "
                f"the same command continues with the other {total - done}.",
                soft_wrap=True,
                markup=False,
            )
        raise


def shown_on(console: PatientConsole, tracker: Listener | None = None) -> Observer:
    """Return the observer that shows the runs on the console.

    The tracker is told of every record too.
    """

    @contextmanager
    def observer(about: Round) -> Generator[Listener, None, None]:
        forecast = Forecast(about.plan, about.left, about.workers, kept=about.records)
        over, total = forecast.runs()
        folder = about.store.folder
        console.print(
            f"{total} runs, {over} done before. Results are kept in {folder}.",
            soft_wrap=True,
            markup=False,
        )
        screen = display(console, forecast)

        def listener(record: RunRecord) -> None:
            forecast.count(record)
            screen.update()
            if tracker is not None:
                tracker(record)

        with screen:
            yield listener
        if about.left:
            console.print(forecast.summary())

    return observer


@contextmanager
def writing(
    console: PatientConsole, what: str
) -> Generator[Callable[[float], None], None, None]:
    """Show how much of something is written; what is yielded is told which share."""
    if not console.is_terminal:
        console.print(f"Writing {what}.", soft_wrap=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as shown:
        task = shown.add_task(f"Writing {what}", total=1.0)
        yield lambda share: shown.update(task, completed=share)


def say_failures(
    records: Sequence[RunRecord], plan: Plan, console: PatientConsole
) -> int:
    """Say how many runs failed, and why the first of them did; return how many."""
    failed = [record for record in records if record.status is Status.FAILED]
    for record in failed[:1]:
        spec = record.spec
        said = f"{record.error}".rstrip(". ")
        console.print(
            f"{len(failed)} of {len(plan.specs())} runs failed, the first of them "
            f"{spec.contender_label} on {spec.task_label} (lr {spec.lr:g}, seed "
            f"{spec.seed}): {said}. The same command tries them again.",
            markup=False,
        )
    return len(failed)
