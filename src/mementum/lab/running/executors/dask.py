"""Carries out runs on a Dask cluster."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from queue import Empty, SimpleQueue

from distributed import CancelledError, Client, Future, KilledWorker

from mementum.lab.records.run import CPU, RunRecord, RunSpec
from mementum.lab.running.executors import ExecutorError
from mementum.lab.running.executors.parcels import Parcel, cut, halves
from mementum.lab.running.executors.worker import (
    Execute,
    Refusal,
    Software,
    carry_out,
    lost,
    software,
    train,
)

RESOURCES = {"GPU": 1}
"""What a run on an accelerator asks of a worker, so that none gets two at a time."""
ATTEMPTS = 3
"""How often a run is submitted when Dask gives it up for the workers that died."""
_AHEAD = 2
"""Runs submitted for each thread of the cluster, so that no worker waits for one."""
_LEAST = 16
"""Runs submitted at least, so that a cluster that grows by demand sees some."""
PATIENCE = 10.0
"""Seconds to wait for the scheduler's answer."""
_PAUSE = 1.0
"""Seconds after which a quiet cluster is asked whether it has grown."""

_log = logging.getLogger(__name__)


class DaskExecutor:
    """The workers of a Dask cluster, which may come and go.

    A run depends on its spec alone, so it does not matter which worker carries it out,
    or how often it is begun. Workers send records back and write nothing themselves.
    """

    def __init__(
        self, address: str, execute: Execute = train, software: Software = software
    ) -> None:
        """``address`` is the scheduler's, or the path of its scheduler file.

        Raises ``ExecutorError`` unless the scheduler answers. The functions are looked
        up by their names in the workers.
        """
        self.address = address
        self.execute = execute
        self.software = software
        with _connected(address) as client:
            self.workers = max(1, len(client.nthreads()))
            """Workers of the cluster when it was asked first."""

    def sitting(self) -> AbstractContextManager[object]:
        """Return nothing to keep: the workers are the cluster's."""
        return nullcontext()

    def results(self, specs: Sequence[RunSpec]) -> Generator[RunRecord, None, None]:
        """Carry out the runs, taken up in this order, and yield each when it is done.

        A run whose worker dies is begun anew. Dask gives it up when several have died,
        and it is submitted three times in all by itself; then its record is a failed
        one, as a parcel is submitted in halves, down to single runs. Closing
        the iterator withdraws the runs: those under way end unheard.
        """
        with _connected(self.address) as client:
            sweep = _Sweep(client, self, cut(specs, self.workers))
            sweep.look_for_cards()
            while sweep.unfinished():
                try:
                    sweep.submit()
                    records = sweep.collect()
                except ExecutorError:
                    raise
                except Exception as error:
                    if client.status == "running" and not _is_loss(error):
                        raise
                    raise ExecutorError(
                        f"the Dask scheduler at {self.address} is gone. Every run "
                        "recorded so far is kept; the same command continues from "
                        "there."
                    ) from error
                yield from records


class _Sweep:
    """The runs that wait, those at the cluster, and the workers that are left out."""

    def __init__(
        self, client: Client, executor: DaskExecutor, parcels: Sequence[Parcel]
    ) -> None:
        self.client = client
        self.execute = executor.execute
        self.software = executor.software
        self.expected = executor.software()
        self.waiting = deque(parcels)
        self.submitted: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        self.away: dict[str, tuple[Future, Parcel]] = {}
        self.ended: SimpleQueue[Future] = SimpleQueue()
        self.refused: set[str] = set()

    def unfinished(self) -> bool:
        """Return whether a run waits or is at the cluster."""
        return bool(self.waiting or self.away)

    def look_for_cards(self) -> None:
        """Say so where runs will wait until a worker with a card comes."""
        found = self.client.scheduler_info(n_workers=-1)["workers"].values()
        offered = any(RESOURCES.keys() & each["resources"].keys() for each in found)
        if not offered and any(parcel[0].device != CPU for parcel in self.waiting):
            _log.warning(
                "mementum: no worker of the cluster offers a GPU, and runs wait for "
                "one. Start workers with `dask worker --resources GPU=1`."
            )

    def submit(self) -> None:
        """Submit as many runs as keep the cluster busy."""
        workers = self.client.nthreads()
        welcome = [worker for worker in workers if worker not in self.refused]
        room = max(_LEAST, _AHEAD * sum(workers.values())) - len(self.away)
        for _ in range(min(room, len(self.waiting))):
            parcel = self.waiting.popleft()
            first = parcel[0]
            self.submitted[first.run_id] += 1
            future = self.client.submit(
                carry_out,
                self.execute,
                self.software,
                self.expected,
                parcel,
                key=f"{first.task_label}-{first.run_id}-{self.submitted[first.run_id]}",
                pure=False,
                resources=RESOURCES if first.device != CPU else None,
                workers=welcome if self.refused else None,
                allow_other_workers=bool(self.refused),
            )
            self.away[future.key] = future, parcel
            future.add_done_callback(self.ended.put)

    def collect(self) -> list[RunRecord]:
        """Wait a while for runs to end; return their records, if they have some."""
        try:
            future = self.ended.get(timeout=_PAUSE)
        except Empty:
            return []
        _, parcel = self.away[future.key]
        try:
            answer = future.result(timeout=PATIENCE)
        except TimeoutError:
            # Its worker died before the answer was fetched: it is computed again.
            self.ended.put(future)
            return []
        except KilledWorker:
            answer = None
        except Exception as error:
            if _is_loss(error):
                raise
            raise ExecutorError(
                f"a worker cannot carry out runs ({type(error).__name__}: {error}). "
                "Every worker needs the mementum that runs here."
            ) from error
        del self.away[future.key]
        future.release()
        if answer is None:
            return self.bury(parcel)
        if isinstance(answer, Refusal):
            self.refuse(answer, parcel)
            return []
        return [*map(RunRecord.from_json, answer)]

    def bury(self, parcel: Parcel) -> list[RunRecord]:
        """Submit the runs again; return a failed record of one that is given up."""
        if len(parcel) > 1:
            self.waiting += halves(parcel)
            return []
        (spec,) = parcel
        self.killed[spec.run_id] += 1
        if self.killed[spec.run_id] < ATTEMPTS:
            self.waiting.append(parcel)
            return []
        error = f"its Dask workers died, until it was given up {ATTEMPTS} times"
        return [lost(spec, error, self.expected)]

    def refuse(self, refusal: Refusal, parcel: Parcel) -> None:
        """Leave a worker out and submit its runs again, as long as others are there."""
        there, here = refusal.software, self.expected
        differing = sorted({**there, **here}.items() - (there.items() & here.items()))
        names = sorted({name for name, _ in differing})
        words = ", ".join(
            f"{name} is {there.get(name, 'missing')} there and "
            f"{here.get(name, 'missing')} here"
            for name in names
        )
        complaint = f"worker {refusal.worker} is left out: {words}"
        if refusal.worker not in self.refused:
            _log.warning("mementum: %s.", complaint)
        self.refused.add(refusal.worker)
        self.waiting.appendleft(parcel)
        if not set(self.client.nthreads()) - self.refused:
            raise ExecutorError(
                f"no worker of the cluster can be used: {complaint}. Install the same "
                "versions on every worker."
            )


def _is_loss(error: BaseException) -> bool:
    """Return whether the error says that the connection to the scheduler is lost."""
    return isinstance(error, OSError | CancelledError)


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    """Hold a connection to the scheduler, or raise ``ExecutorError``.

    What Dask itself logs meanwhile is not shown: what matters becomes an error here.
    """
    known = [n for n in logging.root.manager.loggerDict if n.startswith("distributed")]
    levels = {each: each.level for each in map(logging.getLogger, known)}
    try:
        for each in levels:
            each.setLevel(logging.CRITICAL)
        with _client_of(address) as client:
            yield client
    finally:
        for each, level in levels.items():
            each.setLevel(level)


def _client_of(address: str) -> Client:
    """Return a client of the scheduler, or raise ``ExecutorError``."""
    file = address if Path(address).is_file() else None
    try:
        return Client(
            None if file else address,
            scheduler_file=file,
            timeout=PATIENCE,
            set_as_default=False,
            name="mementum",
        )
    except (OSError, ValueError, TypeError) as error:
        raise ExecutorError(
            f"no Dask scheduler answers at {address}. Start one with `dask scheduler` "
            "and give the address that it prints, such as tcp://10.0.0.1:8786."
        ) from error
