"""Carries out runs in processes of this machine, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import cast

from mementum.lab.records.run import CPU, RunRecord, RunSpec, Status
from mementum.lab.running.executors import ExecutorError
from mementum.lab.running.executors.parcels import Parcel, cut, halves
from mementum.lab.running.executors.worker import (
    Execute,
    Prepare,
    lost,
    prepare,
    serve,
    train,
)
from mementum.lab.tasks.own.user_file import paths
from mementum.lab.user_code.settings import put_environment

ATTEMPTS = 3
"""How often a run is begun when the system kills its worker each time."""


class LocalExecutor:
    """Worker processes that live as long as the iteration over their results.

    In a sitting they live as long as that, from one iteration to the next.

    Each worker has a pipe of its own and holds one parcel at a time: when the system
    kills a worker it is known which runs it takes along, and no other is disturbed.
    """

    def __init__(
        self,
        workers: int,
        execute: Execute = train,
        prepare: Prepare = prepare,
        places: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """``execute`` does a parcel; ``prepare`` is called once in each worker before.

        Both are looked up by their names in the workers, so they are no lambdas. Where
        there are ``places``, as many as workers at least, each worker has the
        environment of one that no other has: of its card.
        """
        self.workers = workers
        self.places = places
        self.execute = execute
        self.prepare = prepare
        self._pool: _Pool | None = None
        self._sits = False

    @contextmanager
    def sitting(self) -> Generator[None, None, None]:
        """Keep the workers from one call of `results` to the next."""
        self._sits = True
        try:
            yield
        finally:
            self._sits = False
            if self._pool is not None:
                self._pool.end()
                self._pool = None

    def results(self, specs: Sequence[RunSpec]) -> Generator[RunRecord, None, None]:
        """Carry out the runs, taken up in this order, and yield each when it is done.

        A run whose worker is killed is begun anew, three times in all by itself; then
        its record is a failed one. Closing the iterator ends the runs under way.
        """
        pool = self._pool or _Pool(self.execute, self.prepare, self.places)
        self._pool = None
        try:
            pool.take(cut(specs, self.workers), self.workers)
            while pool.unfinished():
                yield from pool.collect()
            if self._sits:
                self._pool = pool
        finally:
            if self._pool is None:
                pool.end()


@dataclass(eq=False)
class _Worker:
    """A process, the pipe to it, and the runs it is busy with."""

    process: BaseProcess
    pipe: Connection
    place: Mapping[str, str]
    ready: bool = False
    parcel: Parcel = ()
    task: str | None = None
    """The task of its runs, once it has begun one."""


class _Pool:
    """The workers at hand, the parcels that wait, and how often a run was begun."""

    def __init__(
        self,
        execute: Execute,
        prepare: Prepare,
        places: Sequence[Mapping[str, str]],
    ) -> None:
        self.execute = execute
        self.prepare = prepare
        self.places = places
        self.waiting: deque[Parcel] = deque()
        self.begun: Counter[str] = Counter()
        self.stillborn = 0
        """Workers in a row that the system killed before they were ready."""
        self.workers: list[_Worker] = []
        self.files = {*paths()}
        """Tasks of files: their code may do anything to a process."""

    def take(self, parcels: Sequence[Parcel], workers: int) -> None:
        """Take up these runs: hand them to who is idle, and start who is missing."""
        self.waiting.extend(parcels)
        for worker in [each for each in self.workers if each.ready]:
            self.feed(worker)
        for _ in range(min(workers, len(parcels)) - len(self.workers)):
            self.enlist()

    def unfinished(self) -> bool:
        """Return whether a run waits or is under way."""
        return bool(self.waiting) or any(worker.parcel for worker in self.workers)

    def enlist(self) -> None:
        """Start a worker.

        It inherits a mask that keeps Ctrl-C from it: the driver alone decides, and ends
        the workers. The resource tracker is started before, as it lifts the mask.
        """
        resource_tracker.ensure_running()
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        given = there, self.execute, self.prepare, _start_method()
        process = context.Process(target=serve, args=given, daemon=True)
        taken = [worker.place for worker in self.workers]
        place = next((each for each in self.places if each not in taken), {})
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            # Sets of words have one order in all processes.
            with _environment({_ORDER: os.environ.get(_ORDER, "0"), **place}):
                process.start()
            self.workers.append(_Worker(process, here, place))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        there.close()

    def collect(self) -> Generator[RunRecord, None, None]:
        """Wait until a worker reports or dies; yield the records that came of it."""
        ends = {worker.process.sentinel: worker for worker in self.workers}
        ends |= {worker.pipe.fileno(): worker for worker in self.workers}
        for end in wait([*ends]):
            worker = ends[cast("int", end)]
            if worker not in self.workers:
                continue
            try:
                # A process of its own may hold the pipe of a dead worker open.
                records = worker.pipe.recv() if worker.pipe.poll() else _gone(worker)
            except (EOFError, OSError):
                records = self.bury(worker)
            else:
                worker.ready = True
                self.stillborn = 0
                if self.waiting and any(map(_may_be_stuck, records)):
                    self._replace(worker)
                else:
                    self.feed(worker)
            yield from records

    def feed(self, worker: _Worker) -> None:
        """Hand the worker the next runs; its death meanwhile shows when it reports."""
        worker.parcel = self.waiting.popleft() if self.waiting else ()
        if not worker.parcel:
            return
        first, *others = worker.parcel
        if not self._may_take(worker, first):
            self.waiting.appendleft(worker.parcel)
            self._replace(worker)
            return
        worker.task = first.task
        if not others:
            self.begun[first.run_id] += 1
        with suppress(OSError):
            worker.pipe.send(worker.parcel)

    def _may_take(self, worker: _Worker, spec: RunSpec) -> bool:
        """Return whether nothing that another task's file has set is in the way."""
        return worker.task in (None, spec.task) or not self.files & {
            worker.task,
            spec.task,
        }

    def _replace(self, worker: _Worker) -> None:
        """Start another worker in the place of one that has no run any more."""
        self.workers.remove(worker)
        _end(worker)
        self.enlist()

    def bury(self, worker: _Worker) -> list[RunRecord]:
        """Replace a dead worker; return the failed record of a run that is given up.

        A parcel of several waits in halves: so one run ends no other's.
        """
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        cause = _ending(worker.process.exitcode)
        if not worker.ready:
            self.stillborn += 1
            if (worker.process.exitcode or 0) >= 0 or self.stillborn == ATTEMPTS:
                raise ExecutorError(
                    f"a worker process did not start: it ended by {cause}."
                )
        lone = len(worker.parcel) == 1
        given_up = lone and self.begun[worker.parcel[0].run_id] >= ATTEMPTS
        if worker.parcel and not given_up:
            self.waiting += [worker.parcel] if lone else halves(worker.parcel)
        if self.waiting:
            self.enlist()
        if not given_up:
            return []
        from mementum.lab.running.versions import environment

        error = f"its worker process ended by {cause}, {ATTEMPTS} times"
        return [lost(worker.parcel[0], error, environment())]

    def end(self) -> None:
        """Kill the workers, whatever they are doing."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            _end(worker)


def _may_be_stuck(record: RunRecord) -> bool:
    """Return whether a process may carry out no other run: its card gave an error."""
    return record.status is Status.FAILED and record.spec.device != CPU


def _end(worker: _Worker) -> None:
    """Kill a worker, whatever it is doing."""
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def _gone(worker: _Worker) -> Sequence[RunRecord]:
    raise EOFError


@contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None, None, None]:
    """Let the processes that are begun inside have these variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        put_environment(before)


_ORDER = "PYTHONHASHSEED"


def _start_method() -> str:
    """Return how processes are started here: a worker would start them as it was."""
    usual, *_ = multiprocessing.get_all_start_methods()
    return multiprocessing.get_start_method(allow_none=True) or usual


def _ending(code: int | None) -> str:
    """Return the words for a process' exit code."""
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
