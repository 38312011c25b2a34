"""A Dask cluster of real processes on loopback, and drivers that can be killed.

One interpreter, the nursery, has loaded what all need. It forks them off when told, so
that a process costs a few milliseconds and a test can kill many.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from tests.lab.runs import each, instant, spec

from mementum.lab.records.journal import Store
from mementum.lab.records.plan import Outline, Plan
from mementum.lab.records.run import RunRecord, RunSpec
from mementum.lab.running.driver import complete, missing
from mementum.lab.running.executors.dask import DaskExecutor

SMALL = 4000
"""Bytes of a journal that is soon full: some ten records."""
RUNS = 48


class Cluster:
    """A scheduler and its workers, as long as the context lasts."""

    def __init__(self, scratch: Path) -> None:
        self.workers: list[int] = []
        self.settings = {
            "DASK_TEMPORARY_DIRECTORY": str(scratch),
            "DASK_LOGGING__DISTRIBUTED": "critical",
            "OMP_NUM_THREADS": "1",
        }

    def __enter__(self) -> Self:
        self.nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.cluster"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.settings},
            start_new_session=True,
        )
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self.nursery.pid, signal.SIGKILL)
        self.nursery.communicate()

    def fork(self, *order: object) -> int:
        """Have the nursery fork a process off for the order; return its id."""
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        self.nursery.stdin.write(json.dumps(order) + "\n")
        self.nursery.stdin.flush()
        return int(self.nursery.stdout.readline())

    def start(self) -> None:
        """Start a scheduler; it picks a free port and tells it."""
        assert self.nursery.stdout is not None
        self.scheduler = self.fork("scheduler")
        self.address = self.nursery.stdout.readline().strip()

    def hire(self, *, threads: int = 1, software: str = "right", gpus: int = 0) -> int:
        """Start a worker; return its process id."""
        self.workers.append(self.fork("worker", self.address, threads, software, gpus))
        return self.workers[-1]

    def kill(self, worker: int) -> None:
        """Kill a worker as the system does when memory runs out."""
        self.workers.remove(worker)
        os.kill(worker, signal.SIGKILL)

    def dismiss(self) -> None:
        """Kill all workers."""
        for worker in list(self.workers):
            with suppress(ProcessLookupError):
                self.kill(worker)


def specs(count: int = RUNS) -> list[RunSpec]:
    """The runs of the sweep that is disturbed."""
    contenders = "AdamW", "SGD"
    return [
        spec(contender=contender, seed=seed)
        for contender in contenders
        for seed in range(count // len(contenders))
    ]


def plan(runs: Sequence[RunSpec]) -> Plan:
    outline = Outline(
        name="instant",
        title="no training",
        metric="loss",
        steps=10,
        deterministic=False,
        scale="log",
        margin=0.01,
        seconds=0.01,
    )
    return Plan(tasks=(outline,), reference="AdamW", runs=tuple(runs))


class Here:
    """Carries out runs in the driver's own process."""

    workers = 1

    def __init__(self, execute: Callable[[RunSpec], RunRecord] = instant) -> None:
        self.execute = execute

    def sitting(self) -> AbstractContextManager[object]:
        return nullcontext()

    def results(self, specs: Iterable[RunSpec]) -> Generator[RunRecord, None, None]:
        yield from map(self.execute, specs)


@each
def brief(spec: RunSpec) -> RunRecord:
    """A run that takes long enough to be killed in it."""
    time.sleep(0.02)
    return instant(spec)


@each
def of_worker(spec: RunSpec) -> RunRecord:
    """A run that says in which process it was."""
    return replace(instant(spec), environment={"process": str(os.getpid())})


@each
def broken(run: RunSpec) -> RunRecord:
    """An error that no run may end with: ``execute`` makes a record of every other."""
    raise ValueError("this cannot be")


def software() -> dict[str, str]:
    """What a process has installed, as it was told."""
    return {"torch": os.environ.get("TESTED_SOFTWARE", "right")}


def drive(folder: str, address: str | None) -> None:
    """Carry the sweep on from where the folder has it, as `mementum compare` does."""
    executor = DaskExecutor(address, brief, software) if address else Here()
    with Store(Path(folder), SMALL) as store:
        todo = plan(specs())
        store.write_plan(todo)
        left = missing(todo, store.records())
        complete(left, store, executor, lambda record: None)


def schedule() -> None:
    """Be the cluster's scheduler."""
    from distributed import Scheduler

    async def serve() -> None:
        async with Scheduler(
            host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0"
        ) as scheduler:
            print(scheduler.address, flush=True)
            await scheduler.finished()

    asyncio.run(serve())


def work(address: str, threads: int, has: str, gpus: int) -> None:
    """Be a worker of the cluster."""
    from distributed import Worker

    os.environ["TESTED_SOFTWARE"] = has

    async def serve() -> None:
        async with Worker(
            address,
            host="127.0.0.1",
            nthreads=threads,
            resources={"GPU": gpus} if gpus else None,
            dashboard_address="127.0.0.1:0",
        ) as worker:
            await worker.finished()

    asyncio.run(serve())


ROLES: dict[str, Callable[..., None]] = {
    "scheduler": schedule,
    "worker": work,
    "driver": drive,
}


def nursery() -> None:
    """Fork a process off for each line of orders; end all when the test is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        role, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            ROLES[role](*arguments)
            os._exit(0)
        print(child, flush=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    nursery()
