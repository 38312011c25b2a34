"""Laws of the claims: what decides them, and that the ledger shows what was found."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.lab.synthetic import record

from mementum.family.memory import Memory
from mementum.lab.claims.claim import Arm, Check, Claim, Relation
from mementum.lab.claims.plan import by_identity, planned
from mementum.lab.claims.select import ledger, papers, select
from mementum.lab.claims.settled import Tier, settle
from mementum.lab.claims.verdict import Answer, Outcome, Verdict, judge
from mementum.lab.planning import contender
from mementum.lab.planning.search_spaces import KAPPA
from mementum.lab.records.run import Curve, RunRecord, RunSpec, Status

NAMES = [
    f"{letter}{i + 1}"
    for letter, n in zip("RXMN", (5, 8, 5, 4), strict=True)
    for i in range(n)
]
# Second editions stand beside the first.
for first in ("R2", "R4", "R5", "X3", "X7", "M1", "M3", "N2"):
    NAMES.insert(NAMES.index(first) + 1, f"{first}-2")
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
    else:
        beta = options["betas"][1]
        memory = Memory.adamnx(beta) if name == "AdamNX" else Memory.adax(beta)
        log_ratio = memory.log_ratio
    # An ulp of beta is 2^-53, and AdamNX's gap to 1, of 1e-3 at least, counts twice.
    assert log_ratio * settled.setting.task.steps == pytest.approx(kappa, rel=1e-12)


def test_a_claim_and_a_comparison_give_one_kappa_one_beta_of_adamnx() -> None:
    check = replace(holding(Relation.BELOW), task="mlp-digits")
    arm = Arm(contender="AdamNX", lrs=(0.1,), kappa=KAPPA)
    settled = settle(check, arm, Tier.SMOKE)
    matched = contender.find("AdamNX-matched").options_over(settled.setting.task.steps)
    assert settled.options["betas"] == matched["betas"]


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


def claiming(*checks: Check, arm: Arm = ARM, other: Arm = OTHER) -> Claim:
    return Claim(
        name="T1",
        paper="paper",
        title="title",
        source="source",
        read="all",
        sentence="It is <so>.",
        where="there",
        arms={"ours": arm, "theirs": other},
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
    for some in (records[1:], records[:-1], []):
        (verdict,) = judge([claim], Tier.QUICK, some)
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


PILOTED = claiming(
    holding(Relation.BELOW),
    arm=Arm(contender="AdamW", lrs=(1e-3, 1e-2, 1e-1), pilot=2, seeds=3),
    other=Arm(contender="SGD", lrs=(0.1,), pilot=2, seeds=3),
)


def _ended(specs: Iterable[RunSpec]) -> list[RunRecord]:
    return [record(spec, 1.0 if spec.lr == 1e-2 else 2.0) for spec in specs]


def test_a_pilot_chooses_and_fresh_seeds_judge() -> None:
    first = planned([PILOTED], Tier.QUICK).runs
    pilot = {(s.lr, s.seed) for s in first if s.contender == "AdamW"}
    assert pilot == {(lr, seed) for lr in (1e-3, 1e-2, 1e-1) for seed in (0, 1)}
    assert [s.seed for s in first if s.contender == "SGD"] == [2, 3, 4]
    part = by_identity(_ended(first[1:]))
    assert planned([PILOTED], Tier.QUICK, part).runs == first
    assert judge([PILOTED], Tier.QUICK, _ended(first))[0].outcome is Outcome.MISSING

    second = planned([PILOTED], Tier.QUICK, by_identity(_ended(first))).runs
    fresh = [(s.lr, s.seed) for s in second if s not in first]
    assert fresh == [(1e-2, seed) for seed in (2, 3, 4)]
    (finding,) = judge([PILOTED], Tier.QUICK, _ended(second))[0].findings
    assert finding.arm.rates == (1e-2,)
    assert {*finding.arm.values} == {2, 3, 4}
