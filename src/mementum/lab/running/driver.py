"""Carries a plan to its end: runs what is missing and keeps what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing

from mementum.lab.records.journal import Store
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.running.executors import Executor

_UNFINISHED = "unfinished"


def of_plan(plan: Plan, records: Iterable[RunRecord]) -> list[RunRecord]:
    """Return the records of the plan's runs, in the plan's order."""
    kept = {record.spec.run_id: record for record in records}
    planned = (spec.run_id for spec in plan.specs())
    return [kept[run_id] for run_id in planned if run_id in kept]


def missing(plan: Plan, records: Iterable[RunRecord]) -> list[RunSpec]:
    """Return the runs of the plan that have no result, the longest first.

    A failed run has no result and is tried again. The longest come first because then
    the workers finish at nearly the same time, whatever their number: the gaps at the
    end are as short as the shortest runs. It also shows early how fast the machine is.
    """
    done = {r.spec.run_id for r in records if r.status is not Status.FAILED}
    cost = {task.name: task.seconds for task in plan.tasks}
    left = [spec for spec in plan.specs() if spec.run_id not in done]
    return sorted(left, key=lambda spec: -cost[spec.task_label])


def complete(
    specs: list[RunSpec],
    store: Store,
    executor: Executor,
    seen: Callable[[RunRecord], None],
) -> None:
    """Carry out the runs; each record is on disk before ``seen`` is told of it.

    Long ones keep snapshots beside the store, and go on from there.
    """
    # What only reads a store does without torch, which this module needs.
    from mementum.lab.running.snapshot import snapshots_in

    with snapshots_in(store.folder / _UNFINISHED):
        results = executor.results(specs)
        with closing(results):
            for record in results:
                store.append(record)
                seen(record)
