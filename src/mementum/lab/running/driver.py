"""Carries a plan to its end: runs what is missing and keeps what comes back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import NamedTuple, TypeAlias

from mementum.lab.records.beginnings import Beginnings
from mementum.lab.records.journal import Store
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.running.executors import Executor

_UNFINISHED = "unfinished"

Listener: TypeAlias = Callable[[RunRecord], object]
"""What is told of the record of each run as it ends."""


class Round(NamedTuple):
    """The runs that a plan still needs, before they begin."""

    plan: Plan
    store: Store
    records: Sequence[RunRecord]
    """Of the runs that are over."""
    left: Sequence[RunSpec]
    workers: int


Growth: TypeAlias = Callable[[Plan, Sequence[RunRecord]], Plan]
"""Returns a plan with what the records at hand add to it: the same records, the same
plan, so that what was interrupted goes on as it would have."""
Observer: TypeAlias = Callable[[Round], AbstractContextManager[Listener]]
"""Accompanies a round: it is entered before the first run and left after the last, or
by what interrupts it."""


def pursue(
    plan: Plan,
    store: Store,
    executor: Executor,
    observer: Observer,
    grow: Growth,
    budget: float | None = None,
) -> Plan:
    """Carry out what is missing of a plan, and of what it grows to; return that.

    The plan is kept in the store before its runs begin. With a budget in seconds, runs
    that are not over by then are ended, and left for another time.
    """
    end = math.inf if budget is None else time.monotonic() + budget
    wider = grow(plan, store.records())
    with executor.sitting():
        while True:
            store.write_plan(wider)
            records = of_plan(wider, store.records())
            left = missing(wider, records)
            around = observer(Round(wider, store, records, left, executor.workers))
            with around as listener:
                complete(left, store, executor, listener, records, end)
            if time.monotonic() >= end:
                return wider
            before, wider = wider, grow(plan, store.records())
            if wider == before:
                return wider


def telling(listener: Listener | None) -> Observer:
    """Return the observer that tells the listener, if there is one, and no more."""

    @contextmanager
    def observer(_: Round) -> Generator[Listener, None, None]:
        yield listener or (lambda _: None)

    return observer


def of_plan(plan: Plan, records: Iterable[RunRecord]) -> list[RunRecord]:
    """Return the records of the plan's runs, in the plan's order."""
    by_id = {record.spec.run_id: record for record in records}
    planned = dict.fromkeys(spec.run_id for spec in plan.specs())
    return [by_id[run_id] for run_id in planned if run_id in by_id]


def missing(plan: Plan, records: Iterable[RunRecord]) -> list[RunSpec]:
    """Return the runs of the plan that have no result, the longest first.

    A failed run has no result and is tried again. The longest come first because then
    the workers finish at nearly the same time, whatever their number: the gaps at the
    end are as short as the shortest runs. It also shows early how fast the machine is.
    """
    done = {r.spec.run_id for r in records if r.status is not Status.FAILED}
    cost = {task.name: task.seconds for task in plan.tasks}
    wanted = {spec.run_id: spec for spec in plan.specs()}
    left = [spec for run_id, spec in wanted.items() if run_id not in done]
    return sorted(left, key=lambda spec: -cost[spec.task_label])


def complete(
    specs: list[RunSpec],
    store: Store,
    executor: Executor,
    listener: Listener,
    earlier: Iterable[RunRecord] = (),
    end: float = math.inf,
) -> None:
    """Carry out the runs; each record is on disk before the listener is told of it.

    At the end, a time of the monotonic clock, those under way are ended.

    Long ones keep snapshots beside the store, and go on from there. One that began
    otherwise than the others of its seed, the earlier ones too, is an error.
    """
    # What only reads a store does without torch, which this module needs.
    from mementum.lab.running.snapshot import snapshots_in

    beginnings = Beginnings()
    for record in earlier:
        beginnings.check(record)
    with snapshots_in(store.folder / _UNFINISHED):
        results = executor.results(specs)
        with closing(results):
            for record in results:
                beginnings.check(record)
                store.append(record)
                listener(record)
                if time.monotonic() >= end:
                    return
