"""Laws of the lab's commands, among them: no way to die loses a finished run."""

import errno
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from tests.lab.processes import needs_proc, wait_for_end
from tests.lab.runs import instant

from mementum import install
from mementum.cli import main
from mementum.lab.experiment import comparison
from mementum.lab.planning.stages import grown
from mementum.lab.records import journal as stores
from mementum.lab.records.journal import JOURNAL, Store
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.report import page
from mementum.lab.running.executors import choice
from mementum.lab.tasks.registry import TASKS, of_tier
from mementum.lab.tasks.task import Tier

RUNS = 24
"""Pilots of three rates, and two fresh seeds, of two contenders."""
SMALL = [
    "--tasks",
    "logreg-cancer",
    "--contenders",
    "SGD",
    "--seeds",
    "2",
    "--lrs",
    "3",
    "--widen",
    "0",
]
ALONE = ["--workers", "1"]
"""A worker loads torch for seconds, and these runs take none."""
"""SGD and the reference at three rates with two seeds, each run under half a second."""


class Instantly:
    """Carries out runs in no time, in this process."""

    def __init__(self, workers: int, places: Sequence[object]) -> None:
        self.workers = workers
        assert workers >= 1

    def sitting(self) -> AbstractContextManager[object]:
        return nullcontext()

    def results(self, specs: list) -> Iterator[RunRecord]:
        yield from map(instant, specs)


def driver(folder: Path, workers: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mementum", "compare", *SMALL]
    return subprocess.Popen(
        [*command, "--workers", workers, "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the suite itself was begun with Ctrl-C ignored, as in the background.
        preexec_fn=functools.partial(  # noqa: PLW1509 - one thread begins it
            signal.signal, signal.SIGINT, signal.SIG_DFL
        ),
    )


def lines(folder: Path) -> int:
    journal = folder / JOURNAL
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for_lines(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while lines(folder) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def results(folder: Path) -> list[str]:
    """Return the records in a fixed order, without what depends on the clock."""
    bare = [
        replace(record, seconds=0.0, optimizer_seconds=0.0).to_json()
        for record in Store(folder).records()
    ]
    return sorted(bare)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main(["compare", *SMALL, *ALONE, "--out", str(folder)]) == 0
    assert lines(folder) == RUNS
    return folder


@pytest.mark.process
@needs_proc
def test_killing_the_driver_ends_its_workers_and_loses_no_finished_run(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = driver(tmp_path, "2")
    wait_for_lines(tmp_path, 3, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for_end(process.pid, 60)
    kept = lines(tmp_path)
    assert 3 <= kept < RUNS
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(b'{"format":1,"spec":{"task"')
    assert main(["compare", *SMALL, *ALONE, "--out", str(tmp_path)]) == 0
    assert f"{RUNS} runs, {kept} done before" in capsys.readouterr().err
    assert lines(tmp_path) == RUNS
    assert results(tmp_path) == results(undisturbed)


@pytest.mark.process
@needs_proc
def test_ctrl_c_ends_at_once_and_says_how_to_continue(tmp_path: Path) -> None:
    process = driver(tmp_path, "1")
    wait_for_lines(tmp_path, 1, process)
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 130
    wait_for_end(process.pid, 60)
    done = lines(tmp_path)
    assert done < RUNS
    assert f"{done} of {RUNS} runs are done" in error
    assert "the same command" in error
    assert "Traceback" not in error + out


def test_ctrl_c_while_no_run_is_under_way_says_so_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(plan: Plan, records: Sequence[RunRecord]) -> Plan:
        if records:
            raise KeyboardInterrupt
        return grown(plan, records)

    monkeypatch.setattr(choice, "LocalExecutor", Instantly)
    monkeypatch.setattr(comparison, "grown", interrupted)
    assert main(["compare", *SMALL, "--workers", "1", "--out", str(tmp_path)]) == 130
    done = lines(tmp_path)
    assert 0 < done < RUNS
    assert f"{done} of {RUNS} runs are done" in capsys.readouterr().err


@pytest.mark.process
def test_a_finished_comparison_runs_nothing_again(
    undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (undisturbed / JOURNAL).read_bytes()
    assert main(["compare", *SMALL, "--out", str(undisturbed)]) == 0
    assert (undisturbed / JOURNAL).read_bytes() == before
    assert f"{RUNS} runs, {RUNS} done before" in capsys.readouterr().err


@pytest.mark.process
@pytest.mark.parametrize("command", ["compare", "report"])
def test_json_is_all_there_is_on_standard_output(
    undisturbed: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    where = ["compare", *SMALL, "--out"] if command == "compare" else ["report"]
    assert main([*where, str(undisturbed), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert plain["runs"] == {"planned": RUNS, "done": RUNS}


@pytest.mark.process
def test_a_report_is_made_again_where_asked(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(undisturbed), "--report", str(page)]) == 0
    assert "logreg-cancer" in page.read_text()
    assert "page.html" in capsys.readouterr().out


def test_a_dry_run_counts_and_makes_nothing(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    assert main(["compare", *SMALL, "--out", str(folder), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"{RUNS} runs: 0 done, {RUNS} missing" in shown
    assert re.search(r"^About \d+ (s|min) with \d+ workers?\.$", shown, re.MULTILINE)
    assert not folder.exists()
    assert main(["compare", *SMALL, "--out", str(undisturbed), "--dry-run"]) == 0
    assert f"{RUNS} done, 0 missing" in capsys.readouterr().out
    assert main(["compare", *SMALL, "--out", str(folder), "--dry-run", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["runs"]
    assert counts == {"total": RUNS, "done": 0, "missing": RUNS}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tasks", "mlp-digit"], ["no task is named 'mlp-digit'", "mean mlp-digits"]),
        (["--contenders", "adaxv"], ["'adaxv'", "AdaXW", "SGD, Adam, AdamW"]),
        (["--contenders", "SGD,Lion"], ["named 'Lion'", "SGD, Adam, AdamW"]),
        (
            ["--contenders", "mementum"],
            ["Mementum is an optimizer here, but no contender", "SGD, Adam, AdamW"],
        ),
        (["--reference", "AdaX"], ["AdaX is an optimizer here, but no contender"]),
        (["--out", ""], ["--out is empty", "name a folder"]),
        (
            ["--reference", "AdamV"],
            ["--reference: no contender is named 'AdamV'", "AdamW"],
        ),
        (["--reference", "Adam,SGD"], ["--reference is Adam,SGD", "one name"]),
        (["--tasks", ","], ["--tasks names nothing"]),
        (["--seeds", "0"], ["--seeds is 0", "1 or more"]),
        (["--seeds", "two"], ["--seeds is two", "whole number"]),
        (["--workers", "-1"], ["--workers is -1", "0 or more"]),
        (["--dask", " "], ["--dask is empty"]),
        (["--dask", "tcp://a:1", "--workers", "2"], ["--workers is for this machine"]),
        (["--dask", "tcp://a:1", "--task", __file__], ["as a package"]),
        (["--lrs", "2"], ["--lrs is 2", "odd"]),
        (["--schedule", "linear"], ["no schedule is named", "constant, cosine"]),
        (["--schedule", ","], ["--schedule names nothing"]),
        (["--weight-decay", "-1"], ["--weight-decay is -1", "0 or more"]),
        (["--weight-decay", "much"], ["--weight-decay is much", "a number"]),
        (["--weight-decay", "inf"], ["--weight-decay is inf"]),
        (["--lrs", "1.5"], ["--lrs is 1.5", "whole number"]),
        (["--tier", "quik"], ["--tier: no tier is named 'quik'", "quick"]),
        (["--tasks", "gan-ring"], ["no part in tier quick", "smoke, standard"]),
        (["--report", "/no/such/folder/x.html"], ["--report", "is no folder"]),
        (["--report", "/"], ["--report is /", "give a file"]),
    ],
)
def test_what_cannot_be_had_is_one_line_that_says_why(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: list[str],
) -> None:
    folder = tmp_path / "out"
    assert main(["compare", "--out", str(folder), *options]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    for word in words:
        assert word in shown.err
    assert not folder.exists()


def test_a_second_driver_on_the_same_folder_is_turned_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(tmp_path):
        assert main(["compare", *SMALL, "--out", str(tmp_path)]) == 2
    assert "Another mementum is writing" in capsys.readouterr().err


def test_a_folder_that_holds_claims_is_refused_and_stays_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(tmp_path) as store:
        store.write_plan(Plan(tasks=(), reference="", runs=()))
    before = (tmp_path / "plan.json").read_bytes()
    assert main(["compare", *SMALL, "--out", str(tmp_path)]) == 2
    assert "holds claims; choose another folder" in capsys.readouterr().err
    assert (tmp_path / "plan.json").read_bytes() == before


@pytest.mark.process
def test_a_full_disk_in_mid_run_is_one_line_and_the_same_command_continues(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(choice, "LocalExecutor", Instantly)
    write = stores.write

    def full_after_five(descriptor: int, line: bytes) -> None:
        if lines(tmp_path) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(descriptor, line)

    with monkeypatch.context() as patch:
        patch.setattr(stores, "write", full_after_five)
        assert main(["compare", *SMALL, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "No space left" in error
    assert "Traceback" not in error
    assert lines(tmp_path) == 5
    assert main(["compare", *SMALL, "--out", str(tmp_path)]) == 0
    assert ", 5 done before" in capsys.readouterr().err


@pytest.mark.process
def test_failed_runs_are_shown_in_the_exit_code_and_diverged_ones_are_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(choice, "LocalExecutor", Instantly)
    assert main(["compare", *SMALL, "--out", str(tmp_path)]) == 0
    whole = Store(tmp_path).records()

    def rewrite(status: Status, error: str | None) -> None:
        (tmp_path / JOURNAL).unlink()
        changed = replace(whole[0], status=status, score=None, error=error)
        with Store(tmp_path) as store:
            for record in [changed, *whole[1:]]:
                store.append(record)

    rewrite(Status.DIVERGED, None)
    assert main(["report", str(tmp_path)]) == 0
    rewrite(Status.FAILED, "out of memory")
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 1
    assert f"1 of {len(whole)} runs failed" in (shown := capsys.readouterr().out)
    assert "out of memory" in shown
    assert (tmp_path / "report.html").exists()


def test_one_seed_is_possible_and_its_price_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(choice, "LocalExecutor", Instantly)
    options = ["--tasks", "mlp-digits", "--contenders", "SGD", "--seeds", "1"]
    assert main(["compare", *options, "--out", str(tmp_path)]) == 0
    assert "With one fresh seed" in capsys.readouterr().err


def test_the_reference_always_takes_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--contenders", "SGD", "--reference", "Adam", "--lrs", "1", "--dry-run"]
    one = ["--tasks", "mlp-digits", "--seeds", "1", "--out", str(tmp_path)]
    assert main(["compare", *options, *one]) == 0
    assert "2 runs:" in capsys.readouterr().out


def test_names_are_taken_in_any_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--contenders", "sgd,ADAXW", "--reference", "adam", "--lrs", "1"]
    one = ["--tasks", "MLP-digits", "--seeds", "1", "--out", str(tmp_path)]
    assert main(["compare", *options, *one, "--dry-run"]) == 0
    assert "3 runs:" in capsys.readouterr().out


@pytest.mark.process
@pytest.mark.parametrize("command", ["report", "json", "tasks"])
def test_a_reader_that_leaves_early_is_no_error(
    undisturbed: Path, tmp_path: Path, command: str
) -> None:
    page = tmp_path / "page.html"
    report = ["report", str(undisturbed), "--report", str(page)]
    given = {"report": report, "json": [*report, "--json"], "tasks": ["tasks"]}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mementum", *given[command]],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 0
    assert "Error" not in done.stderr
    assert page.exists() is (command != "tasks")


def test_a_missing_extra_is_a_sentence_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(install.PACKAGES, "lab", ("no_such_package",))
    assert main(["compare"]) == 2
    assert capsys.readouterr().err == (
        "mementum compare: it needs no_such_package: run `pip install '.[lab]'` in a "
        "clone of mementum.\n"
    )


def test_a_folder_without_a_comparison_has_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no comparison" in capsys.readouterr().err


def test_tasks_lists_every_task_and_contender(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["tasks"]) == 0
    shown = capsys.readouterr().out
    for name in ("reddi-periodic", "lm-bytes", "SGD", "AdaMomentum", "10,100"):
        assert name in shown
    assert "betas (0.9, 0.999)" in shown
    assert "[" not in shown


def test_every_task_is_listed_with_its_sizes_and_every_tier_with_its_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["tasks"]) == 0
    shown = capsys.readouterr().out.splitlines()
    for task in TASKS:
        rows = [line for line in shown if line.split()[:1] == [task.name]]
        assert any(f"{task.steps:,}: " in row for row in rows)
    for tier in Tier:
        assert any(line.split()[:1] == [tier] for line in shown)


def test_offline_the_papers_data_is_not_fetched_and_one_line_says_what_is_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MEMENTUM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MEMENTUM_OFFLINE", "0")
    options = ["--tier", "paper", "--tasks", "mnist-mlp", "--offline", "--dry-run"]
    assert main(["compare", *options, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "train-images-idx3-ubyte.gz is missing" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.process
def test_the_smoke_tier_runs_every_task_to_its_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Drawing every task's figures takes longer than training on them.
    monkeypatch.setattr(page, "drawn", lambda figures, seen: [])
    monkeypatch.setattr(page, "_rendered", lambda *_: "")
    options = ["--tier", "smoke", "--contenders", "SGD", "--reference", "SGD", *ALONE]
    assert main(["compare", *options, "--seeds", "1", "--out", str(tmp_path)]) == 0
    records = Store(tmp_path).records()
    names = {task.name for task in of_tier(Tier.SMOKE)}
    assert {record.spec.task for record in records} == names
    assert Status.FAILED not in {record.status for record in records}


def test_help_needs_none_of_the_heavy_packages() -> None:
    script = (
        "import sys; from mementum.cli import parser; parser().format_help(); "
        "print(*{'torch', 'sklearn', 'rich', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
