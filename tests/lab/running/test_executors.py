"""Laws of the executor: every run once, whatever happens to the workers."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.lab.processes import needs_proc, wait_for, wait_for_end
from tests.lab.running.test_run import planned, timeless
from tests.lab.runs import (
    Unloadable,
    endless_on_odd_seeds,
    instant,
    killed_by_the_mark,
    killed_on_odd_seeds,
    killed_once,
    noted,
    of_modules,
    of_process,
    spec,
    unprepared,
)

from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.running.executors import ExecutorError
from mementum.lab.running.executors.local import ATTEMPTS, LocalExecutor
from mementum.lab.running.loop import execute
from mementum.lab.tasks.own import user_file

pytestmark = pytest.mark.process

SPECS = [spec(seed=seed) for seed in range(7)]


def carry_out(
    specs: list[RunSpec], execute: Callable[[RunSpec], RunRecord], workers: int = 2
) -> dict[int, RunRecord]:
    records = list(LocalExecutor(workers, execute, unprepared).results(specs))
    assert len(records) == len(specs)
    assert multiprocessing.active_children() == []
    return {record.spec.seed: record for record in records}


def test_every_run_comes_back_once() -> None:
    found = carry_out(SPECS, instant)
    assert found == {each.seed: instant(each) for each in SPECS}


def test_no_runs_need_no_workers() -> None:
    assert carry_out([], instant) == {}


def test_a_worker_gives_bit_for_bit_what_this_process_gives() -> None:
    run = planned("logreg-cancer", "AdamNX", 0.01)
    (there,) = LocalExecutor(1).results([run])
    assert there.status is Status.FINISHED
    assert timeless(there) == timeless(execute(run))


def test_a_worker_loads_no_more_than_its_functions_do() -> None:
    found = carry_out(SPECS[:1], of_modules)
    assert found[0].environment == {"torch": "False"}


@pytest.mark.parametrize("files", [(), ("one",), ("one", "two")])
def test_no_process_serves_a_file_and_another_task(
    files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(user_file.VARIABLE, "")
    user_file.announce({Path(f"{name}.py"): True for name in files})
    tasks = ["one", "one", "two", "lab", "lab", "more"]
    specs = [spec(task=task, seed=seed) for seed, task in enumerate(tasks)]
    found = carry_out(specs, of_process, workers=1)
    assert [*found] == [*range(6)]
    groups = {(each.spec.task in files) and each.spec.task for each in found.values()}
    processes = {each.environment["process"] for each in found.values()}
    assert len(processes) == len(groups)
    assert len({each.environment["words"] for each in found.values()}) == 1


def test_a_run_whose_worker_is_killed_is_begun_anew(tmp_path: Path) -> None:
    specs = [spec(seed=seed, data=str(tmp_path)) for seed in range(4)]
    found = carry_out(specs, killed_once)
    assert found == {each.seed: instant(each) for each in specs}
    assert sorted(mark.name for mark in tmp_path.iterdir()) == ["1", "3"]


def test_a_run_that_kills_every_worker_fails_alone() -> None:
    found = carry_out(SPECS[:3], killed_on_odd_seeds, workers=1)
    assert found[0] == instant(SPECS[0])
    assert found[2] == instant(SPECS[2])
    assert found[1].status is Status.FAILED
    assert found[1].error is not None
    assert "SIGKILL" in found[1].error
    assert f"{ATTEMPTS} times" in found[1].error


def test_closing_the_results_ends_the_runs_under_way(tmp_path: Path) -> None:
    specs = [spec(seed=seed, data=str(tmp_path)) for seed in range(2)]
    results = LocalExecutor(1, endless_on_odd_seeds, unprepared).results(specs)
    with closing(results):
        assert next(results) == instant(specs[0])
        assert len(multiprocessing.active_children()) == 1
    assert multiprocessing.active_children() == []


def test_ctrl_c_does_not_reach_the_workers(tmp_path: Path) -> None:
    specs = [spec(seed=seed, data=str(tmp_path)) for seed in range(2)]
    results = LocalExecutor(1, noted, unprepared).results(specs)
    with closing(results):
        next(results)
        wait_for(tmp_path / "1")
        (worker,) = multiprocessing.active_children()
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGINT)
        assert next(results) == instant(specs[1])
    assert (tmp_path / "1").read_text() == "begun\n"


@needs_proc
def test_a_worker_in_mid_run_ends_when_its_driver_is_killed(tmp_path: Path) -> None:
    script = (
        "from mementum.lab.running.executors.local import LocalExecutor\n"
        "from tests.lab.runs import endless_on_odd_seeds, spec, unprepared\n"
        f"run = spec(seed=1, data={str(tmp_path)!r})\n"
        "executor = LocalExecutor(1, endless_on_odd_seeds, unprepared)\n"
        "list(executor.results([run]))\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    wait_for(tmp_path / "1")
    driver.kill()
    driver.wait()
    wait_for_end(driver.pid, 60)


def test_a_worker_killed_while_it_starts_is_replaced_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = tmp_path / "marks"
    monkeypatch.setenv("MARKS", str(marks))
    executor = LocalExecutor(1, instant, killed_by_the_mark)
    marks.write_text("x" * (ATTEMPTS - 1))
    assert list(executor.results(SPECS)) == [instant(each) for each in SPECS]
    marks.write_text("x" * ATTEMPTS)
    with pytest.raises(ExecutorError, match="did not start: it ended by signal SIGKI"):
        list(executor.results(SPECS))
    assert marks.read_text() == ""
    assert multiprocessing.active_children() == []


def test_workers_that_cannot_start_are_a_sentence() -> None:
    with pytest.raises(ExecutorError, match="did not start: it ended by exit code 3"):
        carry_out(SPECS, Unloadable())
    assert multiprocessing.active_children() == []
