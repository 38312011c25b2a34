"""Laws of what is kept: asked, merged and exported, it stays what was recorded."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from tests.lab.runs import record, spec

from mementum.cli import main
from mementum.lab.records import sql as database
from mementum.lab.records.journal import JOURNAL, Store
from mementum.lab.records.merge import MergeError, merge, union
from mementum.lab.records.plan import Outline, Plan
from mementum.lab.records.run import Curve, RunRecord, RunSpec, Status
from mementum.lab.running.driver import of_plan

SPECS = [
    spec(task=task, contender=contender, seed=seed)
    for task in ("bowl", "ring")
    for contender in ("AdaXW", "SGD")
    for seed in range(3)
]
RECORDS = [record(each, score=each.seed + 0.1) for each in SPECS]
DIVERGED = replace(
    record(SPECS[0], status=Status.DIVERGED),
    curve=Curve(steps=(0, 10), train=(1.0, math.nan), validation=(0.1, 1e300)),
)


def plan(specs: Sequence[RunSpec], reference: str = "SGD") -> Plan:
    names = sorted({each.task for each in specs})
    outlines = [
        Outline(
            name=name,
            title="a task",
            metric="loss",
            steps=10,
            deterministic=False,
            scale="log",
            margin=0.01,
            seconds=1.0,
        )
        for name in names
    ]
    return Plan(tasks=tuple(outlines), reference=reference, runs=tuple(specs))


def folder(
    path: Path, records: Sequence[RunRecord], specs: Sequence[RunSpec] | None = None
) -> Path:
    with Store(path) as store:
        if specs is not None:
            store.write_plan(plan(specs))
        for each in records:
            store.append(each)
    return path


def content(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


def test_the_records_of_a_plan_come_in_its_order() -> None:
    runs = plan(SPECS[::-1])
    assert of_plan(runs, RECORDS) == RECORDS[::-1]
    assert of_plan(plan(SPECS[3:5]), RECORDS) == RECORDS[3:5]


def test_a_query_reads_every_value_as_it_was_recorded() -> None:
    records = [DIVERGED, *RECORDS[1:]]
    with database.tables(records, {SPECS[1].run_id}) as base:
        names, rows = database.ask(base, "FROM runs")
        found = [dict(zip(names, row, strict=True)) for row in rows]
        _, points = database.ask(
            base,
            "SELECT run_id, list(step), list(train), list(validation) "
            "FROM curves GROUP BY run_id",
        )
    for row, kept in zip(found, records, strict=True):
        for name in ("task", "contender", "lr", "seed", "steps", "data"):
            assert row[name] == getattr(kept.spec, name)
        for name in ("score", "status", "seconds", "parameters", "error"):
            assert row[name] == getattr(kept, name)
        assert json.loads(str(row["options"])) == kept.spec.options
        assert json.loads(str(row["environment"])) == kept.environment
        assert row["planned"] is (kept.spec == SPECS[1])
    curves = {run_id: rest for run_id, *rest in points}
    assert curves[DIVERGED.spec.run_id] == [[0, 10], [1.0, None], [0.1, 1e300]]
    assert len(curves) == len(records)


def test_every_field_of_a_run_is_a_column() -> None:
    with database.tables([], set()) as base:
        names, _ = database.ask(base, "FROM runs")
    fields = {*RunSpec.__dataclass_fields__, *RunRecord.__dataclass_fields__}
    assert set(names) == (fields | {"run_id", "planned"}) - {"spec", "curve"}


QUERIES = {
    "table": "contender  n\nAdaXW      6\nSGD        6\n",
    "csv": "contender,n\nAdaXW,6\nSGD,6\n",
    "json": [{"contender": "AdaXW", "n": 6}, {"contender": "SGD", "n": 6}],
}


@pytest.mark.parametrize("form", QUERIES)
def test_an_answer_is_printed_in_the_form_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    folder(tmp_path, RECORDS)
    sql = "SELECT contender, count(*) AS n FROM runs GROUP BY ALL ORDER BY ALL"
    assert main(["query", sql, str(tmp_path), "--format", form]) == 0
    shown = capsys.readouterr().out
    if form == "json":
        assert json.loads(shown) == QUERIES[form]
    else:
        assert [line.split() for line in shown.splitlines()] == [
            line.split() for line in str(QUERIES[form]).splitlines()
        ]


def test_a_query_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(tmp_path, RECORDS, SPECS)
    before = content(tmp_path)
    assert main(["query", "DELETE FROM runs; DROP TABLE curves", str(tmp_path)]) == 2
    assert content(tmp_path) == before
    capsys.readouterr()
    assert main(["query", "SELECT nothing FROM runs", str(tmp_path)]) == 2
    assert '"nothing" not found' in capsys.readouterr().err
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("-- nothing", "The query is empty"),
        ("SELEC 1", "syntax error"),
        ("SELECT 1 AS a, 2 AS a", "several columns named a"),
        ("COPY runs TO '/nowhere/x.csv'", "one SELECT"),
        ("DROP TABLE runs", "one SELECT"),
        ("CREATE TABLE x AS (PIVOT runs ON seed)", "one SELECT"),
        ("WITH t AS (PIVOT runs ON seed) INSERT INTO curves FROM t", "one SELECT"),
    ],
)
def test_a_query_without_an_answer_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str, words: str
) -> None:
    folder(tmp_path, RECORDS[:1])
    assert main(["query", sql, str(tmp_path), "--format", "json"]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    "sql",
    [
        "WITH t AS (FROM runs) SELECT seed FROM t",
        "DESCRIBE curves",
        "SHOW TABLES",
        "SUMMARIZE runs",
        "PIVOT runs ON seed USING min(score) GROUP BY contender",
        "-- in columns\n(PIVOT runs ON seed)",
        "FROM (PIVOT runs ON seed USING min(score) GROUP BY contender)",
    ],
)
def test_every_way_to_read_is_a_query(
    sql: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(tmp_path, RECORDS[:2])
    assert main(["query", sql, str(tmp_path), "--format", "csv"]) == 0
    assert capsys.readouterr().out.count("\n") > 1


def test_an_answer_in_json_has_null_for_what_is_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(tmp_path / "b ünï", RECORDS[:1])
    sql = "SELECT 'nan'::DOUBLE AS x, ['inf'::DOUBLE, 1] AS y"
    assert main(["query", sql, str(tmp_path / "b ünï"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"x": None, "y": [None, 1.0]}]


@pytest.mark.parametrize("command", [["query", "FROM runs"], ["status"], ["export"]])
def test_a_folder_without_results_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    where = ["--to", str(tmp_path / "to")] if command == ["export"] else []
    assert main([*command, str(tmp_path / "none"), *where]) == 2
    error = capsys.readouterr().err
    assert "holds no results" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_export_holds_both_tables_and_the_same_bytes_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(tmp_path / "in", RECORDS[::-1], SPECS)
    folder(tmp_path / "again", [*RECORDS, *RECORDS], SPECS)
    with Store(tmp_path / "again") as store:
        store.compact()
    for form in database.FORMATS:
        for name in ("in", "again"):
            out = tmp_path / f"{name} out"
            command = ["export", str(tmp_path / name), "--to", str(out)]
            assert main([*command, "--format", form]) == 0
    capsys.readouterr()
    assert content(tmp_path / "in out") == content(tmp_path / "again out")
    names = {
        f"{table}.{form}" for table in database.TABLES for form in database.FORMATS
    }
    assert set(content(tmp_path / "in out")) == names
    counted = duckdb.read_parquet(str(tmp_path / "in out" / "curves.parquet"))
    assert len(counted.fetchall()) == 2 * len(RECORDS)


def test_status_counts_what_is_over_and_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = record(SPECS[1], status=Status.FAILED, error="no memory")
    folder(tmp_path, [DIVERGED, failed, *RECORDS[2:5]], SPECS[:8])
    assert main(["status", str(tmp_path), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["tasks"] == {
        "bowl": {"planned": 6, "diverged": 1, "failed": 1, "finished": 3, "missing": 2},
        "ring": {"planned": 2, "missing": 2},
    }
    assert plain["disputed"] == 0
    assert main(["status", str(tmp_path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["all", "8", "3", "1", "1", "4"] in rows
    assert ["Run", "on:", "cpu", "paper"] in rows


def test_merged_folders_are_the_same_in_any_order_and_any_number_of_times(
    tmp_path: Path,
) -> None:
    one = folder(tmp_path / "one", RECORDS[:8], SPECS[:8])
    two = folder(tmp_path / "two", RECORDS[5:], SPECS[5:])
    found = []
    for name, order in {"a": [one, two], "b": [two, one], "c": [two, two, one]}.items():
        target = Store(tmp_path / name)
        merge([Store(each) for each in order], target, pool=False)
        again = merge([Store(each) for each in order], target, pool=False)
        assert (again.taken, again.runs, again.disputed) == (0, len(SPECS), 0)
        found.append((target.records(), target.read_plan()))
    assert found[0][0] == RECORDS
    assert {run.run_id for run in found[0][1].runs} == {run.run_id for run in SPECS}
    assert all(each == found[0] for each in found)


def test_merged_plans_keep_all_grids_and_all_trials() -> None:
    trial = [replace(each, lr=0.5) for each in SPECS]
    one = replace(plan(SPECS[:8]), trials=tuple(trial[:4]), centres={"SGD": 0.1})
    two = replace(plan(SPECS[5:]), trials=tuple(trial[3:]), centres={"AdaXW": 0.2})
    both = union([one, two])
    assert both is not None
    assert both == union([two, one]) == union([both, one, two])
    assert set(both.centres.items()) == {("SGD", 0.1), ("AdaXW", 0.2)}
    assert {each.run_id for each in both.specs()} == {
        each.run_id for each in (*SPECS, *trial)
    }
    assert len(both.trials) == len(SPECS)
    with pytest.raises(MergeError, match=r"SGD's grid around 0\.1 and 0\.3"):
        union([one, replace(two, centres={"SGD": 0.3})])


def test_a_merge_keeps_a_result_where_the_other_folder_failed(tmp_path: Path) -> None:
    failed = [record(each, status=Status.FAILED, error="x") for each in SPECS]
    one = folder(tmp_path / "one", failed)
    two = folder(tmp_path / "two", RECORDS)
    merge([Store(two)], Store(one), pool=False)
    assert Store(one).records() == RECORDS


def test_results_of_different_machines_are_pooled_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = [replace(r, environment={"cpu": "stone"}, score=7.0) for r in RECORDS]
    one, two = folder(tmp_path / "1", RECORDS), folder(tmp_path / "2", other)
    before = content(one)
    command = ["merge", str(two), "--into", str(one)]
    assert main(command) == 2
    error = capsys.readouterr().err
    for word in ("cpu paper", "cpu stone", "--pool"):
        assert word in error
    assert content(one) == before
    assert main([*command, "--pool"]) == 0
    assert f"{len(SPECS)} runs have several results" in capsys.readouterr().out


def test_as_data_a_merge_counts_and_an_export_names_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = folder(tmp_path / "1", RECORDS[:8], SPECS[:8])
    two = folder(tmp_path / "2", RECORDS[5:], SPECS[5:])
    assert main(["merge", str(two), "--into", str(one), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(one),
        "taken": len(SPECS) - 8,
        "runs": len(SPECS),
        "disputed": 0,
    }
    out = tmp_path / "out"
    assert main(["export", str(one), "--to", str(out), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert {Path(each) for each in files} == set(out.iterdir())


def test_times_alone_are_no_dispute(tmp_path: Path) -> None:
    later = [
        replace(r, seconds=9.0, environment={**r.environment, "platform": "y"})
        for r in RECORDS
    ]
    one, two = folder(tmp_path / "1", RECORDS), folder(tmp_path / "2", later)
    assert merge([Store(one)], Store(two), pool=False).disputed == 0


def test_comparisons_of_other_kinds_do_not_merge(tmp_path: Path) -> None:
    one = folder(tmp_path / "1", RECORDS[:2], SPECS[:2])
    two = folder(tmp_path / "2", RECORDS[2:])
    with Store(two) as store:
        store.write_plan(plan(SPECS[2:], reference="AdaXW"))
    before = content(one)
    with pytest.raises(MergeError, match="differ in their reference: AdaXW and SGD"):
        merge([Store(two)], Store(one), pool=False)
    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        with pytest.raises(MergeError, match="is no folder"):
            merge([Store(tmp_path / name)], Store(one), pool=False)
    with pytest.raises(MergeError, match="differ in their reference"):
        merge([Store(one), Store(two)], Store(tmp_path / "new"), pool=False)
    assert not (tmp_path / "new").exists()
    assert content(one) == before
    assert JOURNAL in before


@pytest.mark.process
def test_what_is_kept_is_read_without_torch(tmp_path: Path) -> None:
    folder(tmp_path, RECORDS, SPECS)
    script = (
        "import sys; from mementum.cli import main; "
        f"main(['status', {str(tmp_path)!r}, '--json']); "
        f"main(['query', 'FROM runs', {str(tmp_path)!r}]); "
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
