"""Laws of the claims: what decides them, and that the ledger shows what was found."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.lab.processes import needs_proc, wait_for_end
from tests.lab.test_cli import lines, results, wait_for_lines

from mementum.cli import main
from mementum.lab import claim as claims
from mementum.lab import contender
from mementum.lab.claim import Arm, Check, Claim, ClaimError, Relation
from mementum.lab.claims import markdown, page
from mementum.lab.claims.ledger import FILES, ledger, papers, select
from mementum.lab.claims.plain import plain
from mementum.lab.claims.plan import Tier, planned, settle
from mementum.lab.claims.verdict import Answer, Outcome, Verdict, judge
from mementum.lab.run import Curve, RunRecord, RunSpec, Status
from mementum.lab.store import JOURNAL

NAMES = [
    f"{letter}{i + 1}"
    for letter, n in zip("RXMN", (5, 8, 5, 4), strict=True)
    for i in range(n)
]
every_claim = pytest.mark.parametrize("claim", ledger(), ids=lambda claim: claim.name)
ARM = Arm(contender="Adam", lrs=(1e-3,))
OTHER = Arm(contender="AMSGrad", lrs=(1e-3,))


def test_the_ledger_holds_every_claim_once() -> None:
    assert [claim.name for claim in ledger()] == NAMES
    assert papers() == ("AMSGrad", "AdaX", "AdaMomentum", "AdamNX")


@every_claim
def test_every_arm_of_a_claim_can_be_built_and_is_checked(claim: Claim) -> None:
    used = set()
    for check in claim.checks:
        for name in filter(None, (check.arm, check.against)):
            used.add(name)
            settled = settle(check, claim.arms[name], Tier.SMOKE)
            parameters = [torch.nn.Parameter(torch.ones(2))]
            settled_by = contender.find(settled.arm.contender)
            optimizer = settled_by.optimizer(parameters, 0.1, settled.options)
            parameters[0].sum().backward()
            optimizer.step()
    assert used == set(claim.arms)


@every_claim
def test_a_claim_has_checks_or_a_reason_for_none(claim: Claim) -> None:
    assert bool(claim.checks) is not bool(claim.untestable)
    assert claim.sentence.endswith(".")


def test_the_stand_in_for_a_function_that_could_not_be_had_is_named() -> None:
    (claim,) = select("X1")
    assert "could not be had" in claim.note
    assert "stand-in" in claim.note


@pytest.mark.parametrize("kappa", [1.0, 7.0, 50.0])
@pytest.mark.parametrize("name", ["AdaX", "AdaXW", "AdamNX", "Mementum"])
def test_kappa_is_the_steps_times_the_log_of_the_memory_ratio(
    name: str, kappa: float
) -> None:
    check = replace(holding(Relation.BELOW), task="mlp-digits")
    settled = settle(check, Arm(contender=name, lrs=(0.1,), kappa=kappa), Tier.SMOKE)
    options = settled.options
    if name == "Mementum":
        log_ratio = math.log(options["memory"])
    elif name == "AdamNX":
        log_ratio = -(1 - options["betas"][1]) * math.log(options["betas"][1])
    else:
        log_ratio = math.log1p(options["betas"][1])
    assert log_ratio * settled.task.steps == pytest.approx(kappa)


def test_a_run_that_several_claims_need_is_planned_once() -> None:
    runs = planned(ledger(), Tier.SMOKE).runs
    identities = [run.run_id for run in runs]
    assert len(identities) == len(set(identities))
    apart = sum(len(planned([claim], Tier.SMOKE).runs) for claim in ledger())
    assert len(runs) < apart


# What decides a check.


def holding(relation: Relation, **changes: object) -> Check:
    given = {"says": "", "task": "mlp-digits", "arm": "ours", "against": "theirs"}
    return Check(relation=relation, **{**given, "margin": 0.1, **changes})


def claiming(*checks: Check, arm: Arm = ARM) -> Claim:
    return Claim(
        name="T1",
        paper="paper",
        title="title",
        source="source",
        read="all",
        sentence="It is <so>.",
        where="there",
        arms={"ours": arm, "theirs": OTHER},
        checks=checks,
    )


Score = Callable[[RunSpec], float | None]


def recorded(claim: Claim, score: Score, tier: Tier = Tier.QUICK) -> list[RunRecord]:
    """Return records of the claim's runs with these scores; None has diverged."""
    found = []
    for spec in planned([claim], tier).runs:
        value = score(spec)
        finished = value is not None
        curve = Curve(
            steps=(0, 300, 600) if finished else (0,),
            train=(2.0, 1.0, value) if finished else (2.0,),
            validation=(2.0, 1.0, value) if finished else (2.0,),
        )
        record = RunRecord(
            spec=spec,
            status=Status.FINISHED if finished else Status.DIVERGED,
            score=value,
            curve=curve,
            seconds=0.1,
            optimizer_seconds=0.01,
            parameters=3,
            error=None,
            environment={"cpu": "paper"},
        )
        found.append(record)
    return found


def factor(ratio: float, spread: float = 0.01) -> Score:
    """Return scores that make ours this multiple of theirs, with paired noise."""

    def score(spec: RunSpec) -> float:
        noise = 1 + spread * math.sin(7 * spec.seed + (spec.contender == "Adam"))
        return noise * (ratio if spec.contender == "Adam" else 1.0)

    return score


def decided(claim: Claim, score: Score) -> Verdict:
    (verdict,) = judge([claim], Tier.QUICK, recorded(claim, score))
    return verdict


HOLDS, FAILS, OPEN = Answer.HOLDS, Answer.FAILS, Answer.OPEN
RATIOS = (0.5, 1.0, 2.0)
DECISIONS = {
    Relation.BELOW: (HOLDS, FAILS, FAILS),
    Relation.ABOVE: (FAILS, FAILS, HOLDS),
    Relation.EQUAL: (FAILS, HOLDS, FAILS),
    Relation.NOT_ABOVE: (HOLDS, HOLDS, FAILS),
    Relation.NOT_BELOW: (FAILS, HOLDS, HOLDS),
}


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("value", ["validation", "train"])
@pytest.mark.parametrize("relation", Relation)
def test_a_check_is_decided_by_where_the_interval_lies(
    relation: Relation, value: str, scale: str
) -> None:
    claim = claiming(holding(relation, value=value, scale=scale))
    for ratio, answer in zip(RATIOS, DECISIONS[relation], strict=True):
        assert decided(claim, factor(ratio)).findings[0].answer is answer
    assert decided(claim, factor(1.0, spread=0.9)).findings[0].answer is OPEN


@pytest.mark.parametrize("relation", Relation)
def test_an_interval_over_the_edge_leaves_a_check_open(relation: Relation) -> None:
    for edge in relation.region(math.log1p(0.1)):
        if math.isfinite(edge):
            verdict = decided(claiming(holding(relation)), factor(math.exp(edge), 0.1))
            assert verdict.outcome is Outcome.INCONCLUSIVE
            assert verdict.findings[0].detectable > 0


def test_a_claim_is_reproduced_if_all_hold_and_not_if_one_fails() -> None:
    below, above = holding(Relation.BELOW), holding(Relation.ABOVE)
    late = holding(Relation.EQUAL, at=0.5)
    assert decided(claiming(below), factor(0.5)).outcome is Outcome.REPRODUCED
    both = decided(claiming(below, late), factor(0.5))
    assert both.outcome is Outcome.REPRODUCED
    assert both.findings[1].difference == 0
    torn = decided(claiming(below, above), factor(0.5))
    assert torn.outcome is Outcome.NOT_REPRODUCED


def test_more_checks_make_wider_intervals() -> None:
    check = holding(Relation.BELOW)
    one = decided(claiming(check), factor(1.0)).findings[0].interval
    two = decided(claiming(check, check), factor(1.0)).findings[0].interval
    assert (one.level, two.level) == (0.95, 0.975)
    assert two.low < one.low < one.high < two.high


def test_a_true_difference_at_the_edge_is_seldom_called_beyond_it() -> None:
    draw = np.random.default_rng(0)
    claim = claiming(holding(Relation.BELOW, margin=0.0))
    called = 0
    for _ in range(60):
        noise = draw.standard_normal(10)

        def score(spec: RunSpec, noise: np.ndarray = noise) -> float:
            ours = spec.contender == "Adam"
            return math.exp(0.1 * noise[spec.seed]) if ours else 1.0

        called += decided(claim, score).outcome is not Outcome.INCONCLUSIVE
    # 5 % of 60 is 3, with a binomial deviation of 1.7.
    assert called <= 3 + 3 * 1.7


@pytest.mark.parametrize("loser", ["Adam", "AMSGrad"])
def test_a_seed_on_which_one_side_diverged_leaves_the_check_open(loser: str) -> None:
    def score(spec: RunSpec) -> float | None:
        return None if (spec.contender, spec.seed) == (loser, 3) else factor(0.5)(spec)

    finding = decided(claiming(holding(Relation.BELOW)), score).findings[0]
    assert (finding.answer, finding.diverged, finding.seeds) == (OPEN, 1, 9)


def test_a_missing_run_leaves_a_claim_undecided() -> None:
    claim = claiming(holding(Relation.BELOW))
    records = recorded(claim, factor(0.5))
    for kept in (records[1:], records[:-1], []):
        (verdict,) = judge([claim], Tier.QUICK, kept)
        assert verdict.outcome is Outcome.MISSING
    failed = [replace(records[0], status=Status.FAILED, score=None), *records[1:]]
    assert judge([claim], Tier.QUICK, failed)[0].outcome is Outcome.MISSING


def test_the_order_of_records_decides_nothing() -> None:
    claim = claiming(holding(Relation.BELOW), holding(Relation.EQUAL))
    records = recorded(claim, factor(1.05, 0.1))
    assert judge([claim], Tier.QUICK, records) == judge(
        [claim], Tier.QUICK, records[::-1]
    )


def test_a_rate_is_chosen_on_the_other_seeds() -> None:
    arm = Arm(contender="Adam", lrs=(0.1, 0.2))

    def score(spec: RunSpec) -> float:
        if spec.contender != "Adam":
            return 1.0
        # Seed 0 alone has its best score at the rate that is bad for all others.
        return 0.5 if (spec.lr == 0.1) is (spec.seed != 0) else 3.0

    finding = decided(claiming(holding(Relation.BELOW), arm=arm), score).findings[0]
    assert math.exp(finding.arm.values[0]) == pytest.approx(3.0)
    assert math.exp(finding.arm.values[1]) == pytest.approx(0.5)
    mean = holding(Relation.BELOW, rates="mean", scale="linear")
    finding = decided(claiming(mean, arm=arm), score).findings[0]
    assert set(finding.arm.values.values()) == {1.75}


def test_a_rate_can_be_chosen_for_another_quantity_than_the_one_read() -> None:
    arm = Arm(contender="Adam", lrs=(0.1, 0.2))
    claim = claiming(
        holding(Relation.BELOW, value="train", chosen="validation"), arm=arm
    )
    records = recorded(claim, lambda spec: 1.0)
    records = [
        replace(
            r, curve=replace(r.curve, train=(2.0, 1.0, 9.0), validation=(2, 1, 0.5))
        )
        if r.spec.lr == 0.2
        else r
        for r in records
    ]
    (verdict,) = judge([claim], Tier.QUICK, records)
    assert verdict.findings[0].arm.rates == (0.2,)
    assert math.exp(verdict.findings[0].arm.mean) == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("share", "answer"), [(0.0, HOLDS), (0.5, OPEN), (0.504, OPEN), (0.6, FAILS)]
)
def test_a_share_has_the_exact_interval_of_all_trials(
    share: float, answer: Answer
) -> None:
    check = Check(
        says="",
        task="two-basins",
        arm="ours",
        relation=Relation.BELOW,
        level=0.5,
        count=256,
        scale="linear",
    )
    finding = decided(claiming(check), lambda spec: share).findings[0]
    assert finding.answer is answer
    if share == 0:
        # Clopper and Pearson: with no hit in n the upper end is 1 - (alpha / 2)^(1/n).
        upper = 1 - 0.025 ** (1 / 2560)
        assert finding.interval.high == pytest.approx(upper - 0.5)


def test_a_rise_is_the_largest_of_the_later_training_loss() -> None:
    check = holding(Relation.BELOW, value="rise", scale="linear", margin=0.0)
    claim = claiming(check)
    finding = decided(claim, factor(3.0, 0.0)).findings[0]
    assert finding.arm.mean == pytest.approx(math.log(3))
    assert finding.against.mean == 0
    lost = decided(claim, lambda s: None if s.contender == "Adam" else 1.0).findings[0]
    assert lost.arm.mean == 10
    assert lost.answer is FAILS


# The ledger's files.

GOOD = """
[paper]
name = "P"
title = "T"
source = "S"
read = "all"
[[claim]]
name = "T1"
sentence = "So it is."
where = "there"
[claim.arms.Adam]
contender = "Adam"
lrs = [1e-3]
[[claim.check]]
says = "so"
task = "mlp-digits"
arm = "Adam"
is = "below"
level = 1.0
"""
BAD = {
    "no paper": ("[paper]", "[other]"),
    "relation": ('is = "below"', 'is = "less"'),
    "no arm": ('arm = "Adam"', 'arm = "Eve"'),
    "nothing against": ("level = 1.0", ""),
    "two against": ("level = 1.0", 'level = 1.0\nagainst = "Adam"'),
    "margin": ("level = 1.0", "level = 1.0\nmargin = -1"),
    "nan": ("level = 1.0", "level = nan"),
    "at": ("level = 1.0", "level = 1.0\nat = 0"),
    "value": ("level = 1.0", 'level = 1.0\nvalue = "test"'),
    "unknown key": ("level = 1.0", "level = 1.0\ncolour = 1"),
    "rates": ("lrs = [1e-3]", "lrs = [2e-3, 1e-3]"),
    "no rates": ("lrs = [1e-3]", "lrs = []"),
    "reason and checks": ('where = "there"', 'where = "there"\nuntestable = "No."'),
    "syntax": ("[[claim]]", "[[claim"),
}


def test_a_ledger_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text(GOOD)
    (claim,) = claims.read(file)
    assert claim.checks[0].relation is Relation.BELOW


@pytest.mark.parametrize("fault", BAD)
def test_a_ledger_file_that_says_what_cannot_be_is_named(
    fault: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.toml"
    old, new = BAD[fault]
    assert old in GOOD
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(ClaimError, match=r"bad\.toml is no ledger of claims"):
        claims.read(file)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("all", NAMES),
        ("adax", NAMES[5:13]),
        ("r1,N3", ["R1", "N3"]),
        ("N3, AMSGrad,R1", [*NAMES[:5], "N3"]),
    ],
)
def test_claims_are_chosen_by_claim_and_paper(wanted: str, names: list[str]) -> None:
    assert [claim.name for claim in select(wanted)] == names


@pytest.mark.parametrize("wanted", ["R9", "Adagrad", ",", ""])
def test_an_unknown_claim_is_answered_with_the_known_ones(wanted: str) -> None:
    with pytest.raises(ClaimError, match=r"R\d|AdaX"):
        select(wanted)


# What people read.


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


def test_the_page_loads_nothing_and_holds_every_claim(
    shown: tuple[list[Verdict], list[RunRecord]],
) -> None:
    verdicts, records = shown
    text = page.render(verdicts, Tier.QUICK, records)
    body = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!#)', body)
    assert "default-src 'none'" in body
    assert "It is &lt;so&gt;." in body
    assert "<so>" not in body
    assert "<i>" not in body
    for verdict in verdicts:
        assert f'<section id="{verdict.claim.name}"' in body
        assert f"{verdict.claim.name}: {verdict.outcome}" in body
    assert body.count('<svg class="interval"') == 3
    data = re.search(r'<script id="figures"[^>]*>(.*?)</script>', text, re.DOTALL)
    figures = json.loads(data.group(1))
    assert {figure["name"] for figure in figures} == {"T1-0", "T2-0"}
    for figure in figures:
        assert f'id="{figure["name"]}"' in body
        assert figure["data"]


def test_the_markdown_is_a_table_of_all_claims(
    shown: tuple[list[Verdict], list[RunRecord]],
) -> None:
    verdicts, _ = shown
    text = markdown.ledger(verdicts, Tier.QUICK)
    assert "| T1 | paper | **not reproduced** | It is <so>. |" in text
    assert "a \\| b" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert widths == {5, 9}


def test_the_plain_form_is_strict_json(
    shown: tuple[list[Verdict], list[RunRecord]],
) -> None:
    verdicts, _ = shown
    text = json.dumps(plain(verdicts, Tier.QUICK), allow_nan=False)
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


def refused(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["reproduce", *arguments]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    return shown.err


def test_an_impossible_option_is_answered_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--tier is huge; choose from smoke" in refused(["--tier", "huge"], capsys)
    assert "--workers is 0" in refused(["--workers", "0"], capsys)
    assert "R1" in refused(["R99"], capsys)
    assert not list(tmp_path.iterdir())


def test_a_dry_run_counts_the_runs_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "none"
    given = ["reproduce", "X2", "--dry-run", "--json", "--out", str(folder)]
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out)["runs"]["total"] == 2
    assert not folder.exists()


def test_the_whole_quick_tier_is_planned_within_twelve_minutes_on_two_cores() -> None:
    plan = planned(ledger(), Tier.QUICK)
    cost = {task.name: task.seconds for task in plan.tasks}
    assert sum(cost[run.task] for run in plan.runs) / 2 < 12 * 60


def test_files_of_the_ledger_lie_beside_the_code() -> None:
    folder = Path(claims.__file__).parent / "claims"
    assert {path.stem for path in folder.glob("*.toml")} == set(FILES)
