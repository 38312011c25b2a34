"""A sitting: plans that the command line has carried out, in sight of the user."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from mementum.lab.cli.progress import PatientConsole, display
from mementum.lab.cli.request import Errand, RequestError
from mementum.lab.planning.forecast import Forecast, clock
from mementum.lab.records.journal import Store
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord
from mementum.lab.running.driver import complete, missing, of_plan
from mementum.lab.running.executors import Executor
from mementum.lab.running.executors.local import LocalExecutor

INTERRUPTED = 130


def workforce(request: Errand) -> Executor:
    """Return what carries the runs out: this machine, or the Dask cluster named."""
    if request.dask is None:
        return LocalExecutor(request.workers)
    try:
        from mementum.lab.running.executors.dask import DaskExecutor
    except ModuleNotFoundError as error:
        raise RequestError(
            '--dask needs the dask extra: pip install "mementum[dask]".'
        ) from error
    return DaskExecutor(request.dask)


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
    if plan.widen and left:
        print("A grid whose end is chosen is widened then, which adds runs to these.")
    return 0


def carry_out(
    plan: Plan,
    store: Store,
    executor: Executor,
    request: Errand,
    console: PatientConsole,
    also: Callable[[RunRecord], None] | None = None,
) -> bool:
    """Run what is left; return whether it came to its end."""
    kept = of_plan(plan, store.records())
    left = missing(plan, kept)
    forecast = Forecast(plan, left, executor.workers, kept=kept)
    over, total = forecast.runs()
    console.print(
        f"{total} runs, {over} done before. Results are kept in {request.folder}.",
        soft_wrap=True,
    )
    shown = display(console, forecast)

    def seen(record: RunRecord) -> None:
        forecast.count(record)
        shown.update()
        if also is not None:
            also(record)

    try:
        with shown:
            complete(left, store, executor, seen)
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
