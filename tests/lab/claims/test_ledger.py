"""Laws of the ledger: it shows what was found, everywhere the same."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.lab.claims.test_claim_files import refused
from tests.lab.claims.test_claims import claiming, factor, holding, recorded
from tests.lab.cli.test_cli import lines, results, wait_for_lines
from tests.lab.processes import needs_proc, wait_for_end
from tests.lab.synthetic import SyntheticPlan

from mementum.cli import main
from mementum.lab.claims.claim import Arm, ClaimError, Relation
from mementum.lab.claims.ledger import figures as pictures
from mementum.lab.claims.ledger import files, json_form, markdown, page
from mementum.lab.claims.ledger.json_form import to_dict
from mementum.lab.claims.plan import by_identity, planned
from mementum.lab.claims.select import ledger, select
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import Verdict, judge
from mementum.lab.records.journal import JOURNAL, Store
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord
from mementum.lab.report import page as report_page
from mementum.lab.statistics import Analysis, analyse
from mementum.lab.tasks.claimed.real_data import LENGTHS


@pytest.fixture(scope="module")
def shown() -> tuple[list[Verdict], list[RunRecord]]:
    tuned = Arm(contender="Adam", lrs=(0.1, 0.2))
    claim = claiming(
        holding(Relation.BELOW), holding(Relation.ABOVE, at=0.5), arm=tuned
    )
    late = claiming(holding(Relation.EQUAL, says="a | b <i>"))
    (untestable,) = select("X4")
    chosen = [claim, replace(late, name="T2"), untestable]
    records = [*recorded(claim, factor(0.5)), *recorded(late, factor(0.5))]
    return judge(chosen, Tier.QUICK, records), records


def figures_of(
    verdicts: Sequence[Verdict], records: Sequence[RunRecord]
) -> dict[str, pictures.ClaimFigures]:
    found = by_identity(records)
    return {v.claim.name: pictures.said(v, Tier.QUICK, found) for v in verdicts}


def test_the_page_loads_nothing_and_holds_every_claim(
    shown: tuple[list[Verdict], list[RunRecord]],
) -> None:
    verdicts, records = shown
    figures = figures_of(verdicts, records)
    every = [figure for each in figures.values() for figure in each.all()]
    text = page.render(verdicts, Tier.QUICK, records, figures, report_page.drawn(every))
    body = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!#)', body)
    assert "default-src 'none'" in body
    assert "It is &lt;so&gt;." in body
    assert "<so>" not in body
    assert "<i>" not in body
    for verdict in verdicts:
        assert f'<details class="task" id="claim-{verdict.claim.name}"' in body
        assert str(verdict.outcome) in body
    assert [name for name in figures if figures[name].checks] == ["T1", "T2"]
    assert sum(len(each.checks) for each in figures.values()) == 3
    assert {f.name for each in figures.values() for f in each.others} == {
        "T1-0",
        "T2-0",
    }
    for figure in every:
        assert f'<svg id="{figure.name}"' in body
        assert figure.series


def test_the_markdown_is_a_table_of_all_claims(
    shown: tuple[list[Verdict], list[RunRecord]],
) -> None:
    verdicts, records = shown
    text = markdown.ledger(verdicts, Tier.QUICK, figures_of(verdicts, records))
    assert "| T1 | paper | not reproduced | It is <so>. |" in text
    assert "a \\| b" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    for row, width in zip(rows, widths, strict=True):
        if row.startswith("|---"):
            inside = width
        elif row.startswith(("| Claim ", "| Check ")):
            continue
        else:
            assert width == inside
    assert widths.count(5) == 2 + len(verdicts)


def test_every_picture_of_the_markdown_lies_beside_it(
    shown: tuple[list[Verdict], list[RunRecord]], tmp_path: Path
) -> None:
    verdicts, records = shown
    files.write(verdicts, Tier.QUICK, records, tmp_path)
    text = (tmp_path / "ledger.md").read_text()
    links = re.findall(r"!\[(.*?)\]\(([^)]*)\)", text)
    checks = [finding for verdict in verdicts for finding in verdict.findings]
    assert len(links) == len(checks) + 2
    for words, link in links:
        assert words
        root = ET.parse(tmp_path / link).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
    drawn = {path.name for path in (tmp_path / "ledger-files").rglob("*.svg")}
    assert drawn == {Path(link).name for _, link in links}
    assert not list(tmp_path.rglob("*.new"))


def test_a_report_shows_the_verdicts_of_a_ledger_or_says_how_to_get_one(
    shown: tuple[list[Verdict], list[RunRecord]], tmp_path: Path
) -> None:
    verdicts, records = shown
    files.write(verdicts, Tier.QUICK, records, tmp_path)
    with_one = report_page.render(analysis_of_nothing(), [], json_form.read(tmp_path))
    section = with_one[with_one.index('<section id="claims"') :]
    section = section[: section.index("</section>")]
    for verdict in verdicts:
        assert f">{verdict.claim.name}</th>" in section.replace("\n", "")
        assert str(verdict.outcome) in section
    assert "tier quick" in section
    assert "It is &lt;so&gt;." in section
    without = report_page.render(analysis_of_nothing(), [])
    assert "mementum report --ledger FOLDER" in without


def analysis_of_nothing() -> Analysis:
    return analyse([], SyntheticPlan())


BROKEN = {
    "missing": (None, "holds no ledger"),
    "no JSON": ("{", "is broken"),
    "a list": ("[]", "is broken"),
    "an older form": ('{"format": 0}', "is written in format 0"),
    "no claims": ('{"format": 1, "tier": "quick"}', "is broken"),
    "a verdict": (
        '{"format": 1, "tier": "quick", "claims": [{"name": "R1", "verdict": "true"}]}',
        "is broken",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_ledger_that_cannot_be_read_is_a_sentence(fault: str, tmp_path: Path) -> None:
    content, words = BROKEN[fault]
    if content is not None:
        (tmp_path / "ledger.json").write_text(content)
    with pytest.raises(ClaimError, match=f"{words}.*mementum reproduce all") as raised:
        json_form.read(tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_the_plain_form_is_strict_json(
    shown: tuple[list[Verdict], list[RunRecord]],
) -> None:
    verdicts, _ = shown
    text = json.dumps(to_dict(verdicts, Tier.QUICK), allow_nan=False)
    found = json.loads(text)["claims"]
    assert [each["verdict"] for each in found] == [
        "not reproduced",
        "not reproduced",
        "not testable at this scale",
    ]
    assert found[0]["checks"][0]["region"][0] is None


# The command.


def command(*arguments: str) -> list[str]:
    return ["reproduce", *arguments, "--tier", "smoke"]


@pytest.mark.process
@needs_proc
def test_killed_and_continued_the_ledger_is_that_of_an_undisturbed_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    assert main([*command("N3,X4"), "--out", str(whole), "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    runs = lines(whole)
    process = subprocess.Popen(
        [sys.executable, "-m", "mementum", *command("N3,X4"), "--out", str(torn)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_lines(torn, 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for_end(process.pid, 60)
    assert 2 <= lines(torn) < runs
    with (torn / JOURNAL).open("ab") as journal:
        journal.write(b'{"format":1,"spec"')
    assert main([*command("N3,X4"), "--out", str(torn), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert results(torn) == results(whole)
    assert {each.name for each in torn.iterdir()} >= {"ledger.html", "ledger.md"}
    assert main(["report", str(torn)]) == 2
    assert "mementum reproduce all" in capsys.readouterr().err


def test_an_impossible_option_is_answered_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--tier: no tier is named 'huge'; there are smoke" in refused(
        ["--tier", "huge"], capsys
    )
    assert "--workers is -1" in refused(["--workers", "-1"], capsys)
    assert "R1" in refused(["R99"], capsys)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_a_comparison_is_refused_and_stays_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(tmp_path) as store:
        store.write_plan(Plan(tasks=(), reference="AdamW", runs=()))
    before = (tmp_path / "plan.json").read_bytes()
    assert "holds a comparison" in refused(["X4", "--out", str(tmp_path)], capsys)
    assert (tmp_path / "plan.json").read_bytes() == before


@pytest.mark.parametrize("place", ["ledger-files", "ledger.html", "ledger.json"])
def test_a_ledger_that_cannot_be_written_is_named_and_its_runs_are_kept(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / place
    if place == "ledger-files":
        blocked.touch()
    else:
        blocked.mkdir()
    error = refused(["X4", "--out", str(tmp_path)], capsys, shown=True)
    assert str(blocked) in error
    assert "The runs are kept" in error
    assert not list(tmp_path.rglob("*.new"))


def test_a_dry_run_counts_the_runs_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "none"
    given = ["reproduce", "X2", "--dry-run", "--json", "--out", str(folder)]
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out)["runs"]["total"] == 2
    assert not folder.exists()


def test_the_quick_tier_takes_minutes_but_for_its_runs_on_real_data() -> None:
    plan = planned(ledger(), Tier.QUICK)
    cost = {task.name: task.seconds for task in plan.tasks}
    real = {task.name for task in LENGTHS}
    costs = {True: 0.0, False: 0.0}
    for run in plan.runs:
        costs[run.task in real] += cost[run.task_label] / 2
    # On two cores; pilots are planned here, and a third of the rest follows them.
    assert costs[False] < 12 * 60
    assert costs[True] < 20 * 60
