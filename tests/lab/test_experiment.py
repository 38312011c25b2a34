"""Laws of the lab from Python: what the command line does, without it."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.lab.runs import instant, record

from mementum import lab
from mementum.cli import main
from mementum.lab.errors import LabError
from mementum.lab.experiment import Comparison
from mementum.lab.planning.stages import expected, grown
from mementum.lab.records.journal import Store
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import SINGLE, RunRecord, RunSpec, Status
from mementum.lab.running import loop

SVG, PNG = b"<?xml", b"\x89PNG"


def plan(**changes: Any) -> Plan:
    usual = {"tasks": ["logreg-cancer"], "contenders": ["SGD"], "seeds": 2, "lrs": 3}
    return lab.plan(**(usual | changes))


def rates(specs: Sequence[RunSpec]) -> int:
    """How many learning rates contenders have."""
    return len({(spec.contender, spec.lr) for spec in specs})


@pytest.fixture
def instantly(monkeypatch: pytest.MonkeyPatch) -> list[RunSpec]:
    """Runs take no time; the specs of those that were asked for."""
    asked: list[RunSpec] = []

    def execute(parcel: Sequence[RunSpec]) -> list[RunRecord]:
        asked.extend(parcel)
        return [*map(instant, parcel)]

    monkeypatch.setattr(loop, "execute_parcel", execute)
    return asked


def test_a_plan_is_the_command_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--tasks", "logreg-cancer", "--contenders", "SGD", "--seeds", "2"]
    main(["compare", *options, "--lrs", "3", "--dry-run", "--out", str(tmp_path / "c")])
    assert capsys.readouterr().out.startswith(f"{expected(plan()).total()} runs")


def test_every_task_and_contender_takes_part_unless_told() -> None:
    everything = lab.plan(seeds=1, lrs=1)
    known = {spec.contender_label for spec in everything.specs()}
    assert {"SGD", "AdamW", "AdaXW", "AdaXW-matched"} <= known
    assert everything.reference == "AdamW"


def test_a_tier_sets_the_sizes_of_what_is_not_given() -> None:
    chosen = {"tasks": ["logreg-cancer"], "contenders": ["AdamW"]}
    smoke = lab.plan(tier="smoke", **chosen)
    assert {spec.steps for spec in smoke.specs()} == {smoke.tasks[0].steps} == {100}
    assert len(smoke.runs) == 2
    standard = lab.plan(tier="standard", seeds=1, **chosen)
    assert standard.factor == 10**0.25
    assert {spec.task for spec in smoke.specs()} == {"logreg-cancer"}
    assert {spec.task_label for spec in standard.specs()} == {"logreg-cancer+cosine"}
    assert len(standard.runs) == 9
    assert len(standard.trials) == 24
    assert (smoke.widen, standard.widen) == (0, 2)
    with pytest.raises(LookupError, match="logreg-cancer has no part in tier paper"):
        lab.plan(tier="paper", **chosen)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 0}, "seeds is 0"),
        ({"lrs": 4}, "lrs is 4; give an odd number"),
        ({"trials": -1}, "trials is -1"),
        ({"widen": -1}, "widen is -1"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"weight_decay": float("nan")}, "weight_decay is nan"),
        ({"schedules": []}, "schedules names nothing"),
        ({"tasks": []}, "tasks names nothing"),
        ({"seeds": 2.5}, "seeds is 2.5; give a whole number"),
        ({"tasks": "quad"}, r"tasks is 'quad'; give a list, such as \['quad'\]"),
        ({"contenders": "SGD"}, "contenders is 'SGD'; give a list"),
        ({"schedules": "cosine"}, "schedules is 'cosine'; give a list"),
    ],
)
def test_impossible_arguments_are_refused_by_name(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(LabError, match=words):
        plan(**changes)


def test_unknown_names_are_lookup_errors() -> None:
    with pytest.raises(LookupError, match="Lion"):
        lab.plan(contenders=["Lion"])
    with pytest.raises(LookupError, match="imagenet"):
        lab.plan(tasks=["imagenet"])
    with pytest.raises(LookupError, match="no schedule is named 'linear'"):
        lab.plan(schedules=["linear"])


def test_a_common_weight_decay_is_everyones_and_makes_other_runs() -> None:
    usual, common = plan(), plan(weight_decay=0.05)
    assert {s.options["weight_decay"] for s in usual.specs()} == {0.0, 0.01}
    assert {s.options["weight_decay"] for s in common.specs()} == {0.05}
    assert not {s.run_id for s in usual.specs()} & {s.run_id for s in common.specs()}
    assert Plan.from_dict(common.to_dict()).weight_decay == 0.05


def test_a_schedule_is_a_factor_beside_the_task_itself() -> None:
    both = plan(schedules=["cosine", "constant"])
    usual, varied = both.tasks
    assert (usual.name, varied.name) == ("logreg-cancer", "logreg-cancer+cosine")
    assert varied.family == usual.name
    assert {s.run_id for s in plan().specs()} < {s.run_id for s in both.specs()}
    assert len(both.specs()) == 2 * len(plan().specs())


def test_a_comparison_goes_on_where_it_stopped(
    tmp_path: Path, instantly: list[RunSpec]
) -> None:
    def stop(_: RunRecord) -> None:
        if len(instantly) == 3:
            raise InterruptedError

    alone = plan().in_forms({"logreg-cancer+cosine": SINGLE})
    with pytest.raises(InterruptedError):
        lab.compare(alone, tmp_path, workers=0, widen=0, seen=stop)
    # A folder keeps the forms that it began with.
    found = lab.compare(plan(), tmp_path, workers=0, widen=0)
    assert {spec.form for spec in found.plan.specs()} == {SINGLE}
    ids = {spec.run_id for spec in instantly}
    assert len(instantly) == len(ids) == len(found.records) > 6
    assert ids == {spec.run_id for spec in found.plan.specs()}
    assert found.records == lab.read(tmp_path).records


def test_what_is_read_is_what_was_carried_out(
    tmp_path: Path, instantly: list[RunSpec]
) -> None:
    # The instant score is lowest at the lowest rate, so both grids widen twice.
    found = lab.compare(plan(widen=2), tmp_path, workers=0)
    assert rates(instantly) == 2 * (3 + 4)
    again = lab.read(tmp_path)
    assert again.plan == found.plan
    assert again.to_dict() == found.to_dict()
    result = found.analysis.tasks[0].result("SGD")
    assert result is not None
    assert result.settings == 7
    assert result.choice.edge


def test_a_widened_comparison_is_not_run_again(
    tmp_path: Path, instantly: list[RunSpec]
) -> None:
    first = lab.compare(plan(), tmp_path, workers=0, widen=1)
    count = len(instantly)
    assert rates(instantly) == 2 * (3 + 2)
    second = lab.compare(plan(widen=1), tmp_path, workers=0)
    assert len(instantly) == count
    assert second.plan == first.plan == Store(tmp_path).read_plan()


def test_seeds_are_not_looked_at_again_otherwise(
    tmp_path: Path, instantly: list[RunSpec]
) -> None:
    lab.compare(plan(), tmp_path, workers=0)
    with pytest.raises(LabError, match=r"other looks .* Choose another folder"):
        lab.compare(plan(seeds=3), tmp_path, workers=0)
    # Other tasks or sizes share no seeds with what was looked at.
    lab.compare(plan(seeds=3, tier="smoke"), tmp_path, workers=0)


def comparison() -> Comparison:
    base = of = plan(trials=2)
    while (wider := grown(base, map(instant, of.specs()))) != of:
        of = wider
    failed = of.specs()[0]
    return Comparison(
        of,
        [
            record(s, status=Status.FAILED, error="broke")
            if s == failed
            else instant(s)
            for s in of.specs()
        ],
    )


def test_frames_have_columns_of_equal_length_and_every_run() -> None:
    found = comparison()
    tables = found.frames()
    assert tables.keys() == {"runs", "curves", "verdicts", "scores", "standings"}
    for name, frame in tables.items():
        assert len({len(column) for column in frame.values()}) <= 1, name
    assert len(tables["runs"]["run"]) == len(found.plan.specs())
    assert len(tables["curves"]["run"]) == 2 * len(found.plan.specs())
    assert set(tables["verdicts"]["arm"]) == {"lr", "full"}
    assert tables["runs"]["error"].count("broke") == 1


def test_the_report_has_its_figures_and_tables_beside_it(tmp_path: Path) -> None:
    found = comparison()
    found.report(tmp_path / "page.html")
    beside = tmp_path / "page-files"
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "page-files"}
    tables = found.frames()
    for name, frame in tables.items():
        kept = duckdb.read_parquet(str(beside / "tables" / f"{name}.parquet"))
        rows = [
            [None if v != v else v for v in row]
            for row in zip(*frame.values(), strict=True)
        ]
        assert kept.columns == list(frame)
        assert [list(row) for row in kept.fetchall()] == rows
        with (beside / "tables" / f"{name}.csv").open(newline="") as file:
            head, *cells = csv.reader(file)
        assert head == list(frame)
        assert [[c == "" for c in row] for row in cells] == [
            [v is None for v in row] for row in rows
        ]
    assert {f"{name}.{form}" for name in tables for form in ("parquet", "csv")} == {
        path.name for path in (beside / "tables").iterdir()
    }
    figures = {path.name: path.read_bytes() for path in (beside / "figures").iterdir()}
    task = found.plan.tasks[0].name
    effects = f"{task}-forest-0.svg"
    assert {effects, f"{task}-forest-0.png", f"{task}-rates-0-0.png"} <= figures.keys()
    for name, content in figures.items():
        assert content.startswith(SVG if name.endswith("svg") else PNG)
    assert b"SGD" in figures[effects]
    assert b"url(http" not in figures[effects]


def test_help_does_not_wait_for_what_takes_long() -> None:
    assert "compare" in lab.__all__
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        lab.nothing_of_that_name  # noqa: B018
