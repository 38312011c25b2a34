"""Laws of runs on a Dask cluster: the same results, from the workers that fit."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.lab.claims.test_claim_files import GOOD
from tests.lab.cluster import (
    Cluster,
    brief,
    broken,
    of_worker,
    software,
    specs,
)
from tests.lab.running.test_run import planned, timeless
from tests.lab.runs import instant, killed_on_odd_seeds, spec

from mementum.cli import main
from mementum.lab.claims.claim_file import read
from mementum.lab.claims.ledger.json_form import to_dict
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import judge
from mementum.lab.records.journal import Store
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.running.executors import ExecutorError
from mementum.lab.running.executors import dask as executors
from mementum.lab.running.executors.dask import DaskExecutor
from mementum.lab.running.loop import execute

pytestmark = pytest.mark.process

SPECS = specs(20)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("scratch")) as cluster:
        yield cluster


@pytest.fixture
def idle(cluster: Cluster) -> Iterator[Cluster]:
    yield cluster
    cluster.dismiss()


def seeded(records: list[RunRecord]) -> dict[str, RunRecord]:
    return {record.spec.run_id: record for record in records}


def test_every_run_comes_back_once(idle: Cluster) -> None:
    idle.hire()
    idle.hire(threads=3)
    records = list(DaskExecutor(idle.address, brief, software).results(SPECS))
    assert len(records) == len(SPECS)
    assert seeded(records) == seeded([instant(each) for each in SPECS])
    assert list(DaskExecutor(idle.address, brief, software).results([])) == []


def test_a_cluster_gives_bit_for_bit_what_this_process_gives(idle: Cluster) -> None:
    idle.hire(threads=2)
    runs = [
        planned(task, contender, 0.01)
        for task in ("logreg-cancer", "mlp-digits")
        for contender in ("AdamNX", "AMSGrad")
    ]
    there = seeded(list(DaskExecutor(idle.address).results(runs)))
    for run in runs:
        assert there[run.run_id].status is Status.FINISHED
        assert timeless(there[run.run_id]) == timeless(execute(run))


def test_claims_run_on_a_cluster_as_they_run_here(
    idle: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    idle.hire(threads=2)
    file = tmp_path / "own.toml"
    file.write_text(GOOD.replace("mlp-digits", "quad"))
    out = ["--tier", "smoke", "--out", str(tmp_path), "--json"]
    assert main(["reproduce", "--claim", str(file), "--dask", idle.address, *out]) == 0
    there = json.loads(capsys.readouterr().out)
    plan, records = Store(tmp_path).read_plan(), Store(tmp_path).records()
    assert len(records) == len(plan.runs) > 1
    here = [execute(run) for run in plan.runs]
    assert {*map(timeless, here)} == {*map(timeless, records)}
    assert there == to_dict(judge(read(file), Tier.SMOKE, here), Tier.SMOKE)


def test_workers_that_come_later_are_given_runs(idle: Cluster) -> None:
    results = DaskExecutor(idle.address, brief, software).results(SPECS)
    idle.hire()
    with closing(results):
        next(results)
        first = idle.workers[0]
        idle.hire()
        idle.kill(first)
        assert len(list(results)) == len(SPECS) - 1


def test_a_run_for_an_accelerator_waits_for_a_worker_that_has_one(
    idle: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    idle.hire(threads=2)
    runs = [replace(each, device="cuda") for each in SPECS[:3]]
    results = DaskExecutor(idle.address, of_worker, software).results(
        [*runs, *SPECS[:3]]
    )
    with closing(results):
        first = [next(results) for _ in range(3)]
        assert {each.spec.device for each in first} == {"cpu"}
        assert "no worker of the cluster offers a GPU" in caplog.text
        # Two threads and one card: one run at a time, and none on the other worker.
        idle.hire(threads=2, gpus=1)
        found = [*results]
    assert {each.spec.run_id for each in found} == {each.run_id for each in runs}
    processes = {each.environment["process"] for each in found}
    assert len(processes) == 1
    assert not processes & {each.environment["process"] for each in first}


def test_a_run_that_kills_every_worker_fails_alone(
    idle: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "ATTEMPTS", 1)
    runs = [spec(seed=seed) for seed in range(2)]
    results = DaskExecutor(idle.address, killed_on_odd_seeds, software).results(runs)
    found = {}
    for _ in range(12):
        idle.hire()
    for record in results:
        found[record.spec.seed] = record
    assert found[0] == instant(runs[0])
    assert found[1].status is Status.FAILED
    assert "its Dask workers died" in str(found[1].error)


def test_a_worker_with_other_software_is_left_out(
    idle: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    idle.hire(software="2.12")
    idle.hire(software="2.12")
    executor = DaskExecutor(idle.address, brief, software)
    with pytest.raises(ExecutorError, match=r"torch is 2\.12 there and right here"):
        list(executor.results(SPECS))
    idle.hire()
    deadline = time.monotonic() + 300
    while DaskExecutor(idle.address, brief, software).workers < 3:
        assert time.monotonic() < deadline
    with caplog.at_level(logging.WARNING):
        records = list(executor.results(SPECS))
    assert seeded(records) == seeded([instant(each) for each in SPECS])


def test_a_worker_that_can_run_nothing_is_a_sentence(idle: Cluster) -> None:
    idle.hire()
    executor = DaskExecutor(idle.address, broken, software)
    with pytest.raises(ExecutorError, match="ValueError: this cannot be"):
        list(executor.results(SPECS))


@pytest.mark.parametrize("command", ["compare", "reproduce"])
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "a:b:c", ""])
def test_an_address_without_a_scheduler_is_a_sentence_and_makes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    address: str,
    command: str,
) -> None:
    monkeypatch.setattr(executors, "PATIENCE", 0.2)
    out = tmp_path / "out"
    assert main([command, "--dask", address, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "--dask" in error or "no Dask scheduler answers" in error
    assert error.count("\n") == 1
    assert not out.exists()
