"""Laws of records: nothing that shows them writes to them, and damage is found."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.lab.cli.test_archive import RECORDS, SPECS, content, folder, plan
from tests.lab.runs import record

from mementum import lab
from mementum.cli import main
from mementum.lab.errors import LabError
from mementum.lab.records.journal import JOURNAL, PLAN, Store, StoreError
from mementum.lab.records.merge import MergeError, merge, union

HURTFUL = [
    "DELETE FROM runs",
    "DELETE FROM runs; DROP TABLE curves",
    "SELECT 1; SELECT 2",
    "COPY runs TO '{journal}' (FORMAT csv)",
    "COPY (FROM runs) TO '{journal}'",
    "ATTACH '{journal}' AS other",
    "EXPORT DATABASE '{folder}'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "SET enable_external_access = true",
    "CREATE TABLE more AS FROM runs",
    "INSERT INTO runs FROM runs",
    "UPDATE runs SET score = 0",
    "EXPLAIN ANALYZE DELETE FROM runs",
    "SELECT * FROM read_csv('{journal}')",
    "SELECT * FROM read_text('{journal}')",
    "SELECT * FROM '{journal}'",
    "FROM glob('{folder}/*')",
    "WITH t AS (FROM read_blob('{journal}')) FROM t",
    "FROM base",
    "SELECT '\udcff'",
]


@pytest.mark.parametrize("sql", HURTFUL)
def test_only_a_select_of_the_tables_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str
) -> None:
    folder(tmp_path, RECORDS, SPECS)
    before = content(tmp_path)
    query = sql.format(journal=tmp_path / JOURNAL, folder=tmp_path)
    assert main(["query", query, str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("mementum query: ")
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "sql", ["FROM runs", "SELECT 1;", "WITH t AS (FROM runs) FROM t"]
)
def test_a_select_in_any_form_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str
) -> None:
    folder(tmp_path, RECORDS[:1])
    assert main(["query", sql, str(tmp_path)]) == 0
    assert capsys.readouterr().out


PLACES = [
    JOURNAL,
    PLAN,
    "segments/x.html",
    "segments/deeper/x.html",
    "../in/journal.jsonl",
    "../other/plan.json",
    "link.html",
    "notes.txt",
]


@pytest.mark.parametrize("place", PLACES)
def test_a_report_is_written_over_no_record_and_no_other_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    here = folder(tmp_path / "in", RECORDS, SPECS)
    with Store(here) as store:
        store.compact()
        store.append(RECORDS[0])
    (tmp_path / "other").mkdir()
    (here / "segments" / "deeper").mkdir()
    (here / "link.html").symlink_to(here / JOURNAL)
    (here / "notes.txt").write_text("mine")
    before = content(tmp_path)
    command = ["report", str(here), "--report", str(here / place)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("mementum report: --report is ")
    with pytest.raises(LabError, match="path is "):
        lab.read(here).report(here / place)
    assert content(tmp_path) == before


@pytest.mark.parametrize("target", ["segments", "segments/deeper"])
def test_an_export_leaves_segments_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    folder(tmp_path, RECORDS, SPECS)
    with Store(tmp_path) as store:
        store.compact()
    before = content(tmp_path)
    assert main(["export", str(tmp_path), "--to", str(tmp_path / target)]) == 2
    assert "where records" in capsys.readouterr().err
    assert content(tmp_path) == before


# --- digests


CHANGES = {
    "a score": (b'"score":0.1', b'"score":0.2'),
    "a seed": (b'"seed":0', b'"seed":7'),
    "a curve": (b'"train":[1.0', b'"train":[2.0'),
    "the digest": (b'"digest":"', b'"digest":"0'),
    "its name": (b'"digest"', b'"Digest"'),
    "deep": (b'"train":[1.0', b'"train":' + b"[" * 100_000 + b"1.0"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_changed_line_is_found_and_costs_its_own_run_alone(
    tmp_path: Path, kind: str
) -> None:
    folder(tmp_path, RECORDS)
    journal = tmp_path / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    ours, wrong = CHANGES[kind]
    place = next(i for i, line in enumerate(lines) if ours in line and i)
    assert ours in lines[place]
    changed = [*lines]
    changed[place] = lines[place].replace(ours, wrong)
    journal.write_bytes(b"".join(changed))
    with pytest.raises(StoreError, match=f"line {place + 1}, is broken") as caught:
        Store(tmp_path).records()
    assert "Delete that line" in str(caught.value)
    del changed[place]
    journal.write_bytes(b"".join(changed))
    assert len(Store(tmp_path).records()) == len(RECORDS) - 1


def test_lines_without_a_digest_are_read_before_those_with_one(tmp_path: Path) -> None:
    journal = tmp_path / JOURNAL
    old = "".join(each.to_json() + "\n" for each in RECORDS[:3])
    journal.write_text(old)
    assert Store(tmp_path).records() == RECORDS[:3]
    folder(tmp_path, RECORDS[3:])
    assert Store(tmp_path).records() == RECORDS
    journal.write_text(journal.read_text() + old)
    with pytest.raises(StoreError, match="its digest is missing"):
        Store(tmp_path).records()


# --- what a task costs is no part of it


@pytest.mark.parametrize("costs", [(1.0, 1.1), (2.0, 0.01), (3.0, 3.0)])
def test_folders_of_one_task_merge_whatever_it_cost(
    tmp_path: Path, costs: tuple[float, float]
) -> None:
    halves = SPECS[:6], SPECS[6:]
    stores = []
    for name, cost in zip("ab", costs, strict=True):
        path = folder(tmp_path / name, RECORDS)
        own = plan(SPECS if name == "a" else halves[1])
        tasks = tuple(replace(task, seconds=cost) for task in own.tasks)
        with Store(path) as store:
            store.write_plan(replace(own, tasks=tasks))
        stores.append(Store(path))
    merge(stores, Store(tmp_path / "both"), pool=False)
    one, two = (store.read_plan() for store in stores)
    found = union([one, two])
    assert found is not None
    assert found == union([two, one])
    assert {task.seconds for task in found.tasks} >= {max(costs)}
    other = replace(two, tasks=tuple(replace(t, margin=0.5) for t in two.tasks))
    with pytest.raises(MergeError, match="describe"):
        union([one, other])


# --- odd characters, closed outputs


ODD = ["a [red]b", "ä ö", "two\nlines", "%s {0}", "'; DROP", "[/x]", "*?[a]"]


@pytest.mark.parametrize("name", ODD)
def test_folders_of_odd_names_are_folders(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    here = folder(tmp_path / name, RECORDS, SPECS)
    with Store(here) as store:
        store.compact()
    for command in (["status"], ["query", "FROM runs"], ["export"], ["report"]):
        where = ["--to", str(here / "to")] if command == ["export"] else []
        assert main([*command, str(here), *where]) == 0, capfd.readouterr().err
    assert "Traceback" not in capfd.readouterr().err
    assert (here / "report.html").exists()


@pytest.mark.parametrize("name", ["x\udcff", "a\0b"])
@pytest.mark.parametrize("command", ["status", "report", "compare"])
def test_a_folder_whose_name_is_no_text_is_a_sentence(
    capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    where = ["--out", name] if command == "compare" else [name]
    assert main([command, *where]) == 2
    assert "characters that are no text" in capsys.readouterr().err


def test_tasks_of_odd_names_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    specs = [replace(SPECS[0], task="[/x]"), replace(SPECS[1], task="a[red]b")]
    folder(tmp_path, [record(each) for each in specs], specs)
    assert main(["status", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "[/x]" in shown
    assert "a[red]b" in shown


CLOSED = ["compare --help", "status {}", "query FROM\truns {}"]
ENDS = ["| head -c 1", ">&-", "2>&-", "2>&1 | true", "> /dev/full"]


@pytest.mark.process
@pytest.mark.parametrize("end", ENDS)
def test_a_closed_output_ends_quietly_or_with_a_sentence(
    tmp_path: Path, end: str
) -> None:
    here = folder(tmp_path, RECORDS, SPECS)
    for command in (*CLOSED, "status nowhere"):
        words = " ".join(
            f"'{each}'".replace("\t", " ") for each in command.format(here).split(" ")
        )
        done = subprocess.run(
            f"'{sys.executable}' -m mementum {words} {end}",
            check=False,
            shell=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONFAULTHANDLER": ""},
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said, command
        assert "Exception ignored" not in said, command
