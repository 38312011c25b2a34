"""Laws of a sweep under fire: its tables are those of an undisturbed one.

Every fault is injected into a real store on disk, and most kills are kill -9 of a real
process.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.lab.cluster import (
    RUNS,
    SMALL,
    Cluster,
    Here,
    brief,
    drive,
    plan,
    software,
    specs,
)
from tests.lab.processes import needs_proc
from tests.lab.runs import instant, record

from mementum.lab.records import atomic, sql
from mementum.lab.records.journal import JOURNAL, SEGMENTS, Store
from mementum.lab.records.merge import merge
from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.running.driver import complete, missing
from mementum.lab.running.executors import ExecutorError
from mementum.lab.running.executors import dask as executors
from mementum.lab.running.executors.dask import DaskExecutor

pytestmark = pytest.mark.process

WRITERS = 40
"""How many processes are killed while they write a store, without a cluster."""
RECORDS = [instant(each) for each in specs()]


def tables(folder: Path) -> dict[str, bytes]:
    """The exported tables, byte for byte."""
    store = Store(folder)
    planned = {run.run_id for run in store.read_plan().specs()}
    target = folder / "tables"
    with sql.tables(store.records(), planned) as base:
        return {
            path.name: path.read_bytes()
            for form in sql.FORMATS
            for path in sql.export(base, target, form)
        }


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such: a killed process needs no slow disk."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    drive(str(folder), None)
    assert Store(folder).records() == RECORDS
    return tables(folder)


def kept(folder: Path, records: list[RunRecord], limit: int = SMALL) -> Store:
    with Store(folder, limit) as store:
        store.write_plan(plan(specs()))
        for each in records:
            store.append(each)
    return store


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("scratch")) as cluster:
        yield cluster


@pytest.fixture
def idle(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster without workers, before and after."""
    yield cluster
    cluster.dismiss()


def test_a_journal_torn_at_any_byte_of_its_last_lines_is_carried_on(
    tmp_path: Path,
) -> None:
    runs = specs()[:4]
    whole = kept(tmp_path, RECORDS[:4]).journal.read_bytes()
    torn_lines = len(b"".join(whole.splitlines(keepends=True)[-3:]))
    assert torn_lines > 1000
    for length in range(len(whole) - torn_lines, len(whole)):
        (tmp_path / JOURNAL).write_bytes(whole[:length])
        with Store(tmp_path) as store:
            left = missing(plan(runs), store.records())
            assert left == runs[whole[:length].count(b"\n") :]
            complete(left, store, Here(), lambda record: None)
        assert (tmp_path / JOURNAL).read_bytes() == whole


@pytest.mark.parametrize("case", range(25))
def test_duplicated_and_reordered_results_change_no_table(
    tmp_path: Path, undisturbed: dict[str, bytes], case: int
) -> None:
    chance = random.Random(case)
    failed = [
        record(run, status=Status.FAILED, error="no memory")
        for run in chance.sample(specs(), 5)
    ]
    several = [*RECORDS, *chance.choices(RECORDS, k=30), *failed]
    chance.shuffle(several)
    kept(tmp_path, several, limit=chance.choice([SMALL, 1 << 20]))
    assert tables(tmp_path) == undisturbed


@pytest.mark.parametrize("case", range(30))
def test_stores_merged_in_any_order_give_the_undisturbed_tables(
    tmp_path: Path, undisturbed: dict[str, bytes], case: int
) -> None:
    chance = random.Random(case)
    homes = [tmp_path / name for name in "abc"]
    share: dict[Path, list[RunRecord]] = {home: [] for home in homes}
    for each in RECORDS:
        for home in chance.sample(homes, chance.choice([1, 1, 2, 3])):
            share[home].append(each)
    for home, records in share.items():
        kept(home, records, limit=chance.choice([SMALL, 1 << 20]))
    torn = chance.choice(homes)
    with (torn / JOURNAL).open("ab") as journal:
        journal.write(RECORDS[0].to_json().encode()[: chance.randrange(1, 300)])
    order = [Store(home) for home in chance.choices(homes, k=2) + homes]
    chance.shuffle(order)
    merge(order, Store(tmp_path / "all"), pool=False)
    assert tables(tmp_path / "all") == undisturbed


class Crash(BaseException):
    """The process ends here."""


MOMENTS: dict[str, tuple[object, str]] = {
    "before the segment is on disk": (atomic, "sync"),
    "before the segment has its name": (Path, "replace"),
    "before the journal is emptied": (os, "ftruncate"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("act", ["compact", "merge"])
def test_a_crash_at_any_moment_of_a_compaction_loses_and_doubles_nothing(
    tmp_path: Path,
    undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    act: str,
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    kept(tmp_path / "other", RECORDS[20:])
    store = kept(tmp_path / "one", RECORDS[:25], limit=1 << 20)

    def carry_on() -> None:
        if act == "merge":
            merge([Store(tmp_path / "other")], Store(store.folder), pool=False)
        else:
            with store:
                store.compact()

    with monkeypatch.context() as patch:
        patch.setattr(*MOMENTS[moment], crash)
        if (act, moment) != ("merge", "before the journal is emptied"):
            with pytest.raises(Crash):
                carry_on()
    carry_on()
    drive(str(store.folder), None)
    assert tables(store.folder) == undisturbed
    assert not list((store.folder / SEGMENTS).glob("*.new"))


@needs_proc
def test_writers_killed_at_any_time_lose_nothing(
    tmp_path: Path, cluster: Cluster, undisturbed: dict[str, bytes]
) -> None:
    chance = random.Random(0)
    folder, before, died = tmp_path / "0", 0, 0
    for case in range(400):
        writer = cluster.fork("driver", str(folder), None)
        time.sleep(chance.uniform(0.0, 0.05))
        died += killed(writer)
        found = Store(folder).records()
        assert len(found) >= before
        before = len(found)
        if died == WRITERS:
            drive(str(folder), None)
        if len(Store(folder).records()) == RUNS:
            assert tables(folder) == undisturbed
            folder, before = tmp_path / str(case + 1), 0
        if died == WRITERS:
            break
    assert died == WRITERS


def killed(process: int) -> bool:
    """Kill the process and wait for its end; return whether it still lived."""
    stat = Path(f"/proc/{process}/stat")
    lived = stat.exists()
    if lived:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            lived = False
    while stat.exists():
        time.sleep(0.001)
    return lived


def sweep(folder: Path, cluster: Cluster, seen: Callable[[RunRecord], None]) -> None:
    """Carry a sweep through on the cluster, from here."""
    with Store(folder, SMALL) as store:
        store.write_plan(plan(specs()))
        left = missing(plan(specs()), store.records())
        executor = DaskExecutor(cluster.address, brief, software)
        complete(left, store, executor, seen)


def test_workers_killed_in_mid_run_change_no_table(
    tmp_path: Path, idle: Cluster, undisturbed: dict[str, bytes]
) -> None:
    chance = random.Random(0)
    ended: list[RunSpec] = []
    idle.hire()
    idle.hire()

    def seen(record: RunRecord) -> None:
        ended.append(record.spec)
        if len(ended) % 4 == 0:
            idle.kill(chance.choice(idle.workers))
            idle.hire()

    sweep(tmp_path, idle, seen)
    assert len(ended) == len({run.run_id for run in ended}) == RUNS
    assert tables(tmp_path) == undisturbed


@needs_proc
def test_drivers_of_a_cluster_killed_in_mid_sweep_change_no_table(
    tmp_path: Path, idle: Cluster, undisturbed: dict[str, bytes]
) -> None:
    idle.hire()
    idle.hire()
    died = 0
    for target in range(5, RUNS, 7):
        driver = idle.fork("driver", str(tmp_path), idle.address)
        deadline = time.monotonic() + 300
        while len(Store(tmp_path).records()) < target:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        died += killed(driver)
    assert died >= 5
    sweep(tmp_path, idle, lambda record: None)
    assert tables(tmp_path) == undisturbed


def test_a_scheduler_that_is_gone_is_a_sentence_and_another_carries_on(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executors, "PATIENCE", 1.0)
    with Cluster(tmp_path_factory.mktemp("scratch")) as cluster:
        cluster.hire()
        ended = []

        def seen(record: RunRecord) -> None:
            ended.append(record)
            if len(ended) == 9:
                os.kill(cluster.scheduler, signal.SIGKILL)

        with pytest.raises(ExecutorError, match=r"is gone.*the same command continues"):
            sweep(tmp_path, cluster, seen)
        cluster.dismiss()
        cluster.start()
        cluster.hire()
        sweep(tmp_path, cluster, lambda record: None)
    assert tables(tmp_path) == undisturbed
