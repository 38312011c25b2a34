"""Laws of the statistics: what a verdict depends on, and how often it may be wrong."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.lab.synthetic import Noise, SyntheticPlan, SyntheticTask, replaced, run

from mementum.lab.report.export.json_form import to_dict
from mementum.lab.statistics import (
    Analysis,
    Choice,
    Contrast,
    Grid,
    Pairs,
    Scored,
    Verdict,
    analyse,
    choose,
    compare,
)
from mementum.lab.statistics.grid import effect, scale_margin
from mementum.lab.statistics.verdicts import claim_p, detectable_errors, holm

MARGIN = scale_margin(0.01, "log")
INSIDE, OUTSIDE = MARGIN * (1 - 1e-9), MARGIN * (1 + 1e-9)
MIRROR = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
ps = st.lists(
    st.one_of(st.none(), st.sampled_from([0.0, 0.01, 0.05]), st.floats(0, 1)),
    min_size=1,
    max_size=8,
)


def scored(values, contender="AdaXW", lr=1e-3) -> Choice:
    """A choice whose seeds scored these values, on a grid of one learning rate."""
    seeds = range(len(values))
    grid = Grid(lrs=(lr,), seeds=tuple(seeds), values={})
    found = tuple(
        Scored(seed=seed, lr=lr, value=value)
        for seed, value in zip(seeds, values, strict=True)
    )
    return Choice(contender=contender, grid=grid, scored=found, in_sample=False)


def versus(values, others, **how) -> Contrast:
    """The contrast of one choice with a reference, as a family of one."""
    how = {"margin": MARGIN, "deterministic": False} | how
    return compare([scored(values)], scored(others, "AdamW"), **how)[0]


def contrast_of(analysis: Analysis, contender="AdaXW", task=0) -> Contrast:
    """The contrast of a contender in an analysis."""
    result = analysis.tasks[task].result(contender)
    assert result is not None
    assert result.contrast is not None
    return result.contrast


# --- the choice of the learning rate


def test_a_small_example_by_hand():
    # Means over the other seeds, for seeds 0, 1, 2:
    #   lr 0.1: (3+1)/2 = 2, (1+1)/2 = 1, (1+3)/2 = 2
    #   lr 1.0: (1+3)/2 = 2, (2+3)/2 = 2.5, (2+1)/2 = 1.5
    #   lr 10.: 9 throughout
    # Seed 0 ties at 2 and takes the centre, seed 1 takes 0.1, seed 2 takes 1.0.
    table = {0.1: (1.0, 3.0, 1.0), 1.0: (2.0, 1.0, 3.0), 10.0: (9.0, 9.0, 9.0)}
    values = {(lr, s): row[s] for lr, row in table.items() for s in range(3)}
    choice = choose("A", Grid(lrs=(0.1, 1.0, 10.0), seeds=(0, 1, 2), values=values))
    assert [s.lr for s in choice.scored] == [1.0, 0.1, 1.0]
    assert [s.value for s in choice.scored] == [2.0, 3.0, 3.0]
    assert choice.edge
    assert choice.lrs == (0.1, 1.0)


@given(
    values=st.lists(st.floats(-5, 5), min_size=20, max_size=20),
    changed=st.lists(
        st.one_of(st.floats(-50, 50), st.just(math.inf)), min_size=5, max_size=5
    ),
    seed=st.integers(0, 3),
)
def test_selection_never_sees_the_scored_seed(values, changed, seed):
    lrs = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    table = {(lr, s): values[5 * s + i] for i, lr in enumerate(lrs) for s in range(4)}
    other = table | {(lr, seed): changed[i] for i, lr in enumerate(lrs)}
    before = choose("A", Grid(lrs=lrs, seeds=(0, 1, 2, 3), values=table))
    after = choose("A", Grid(lrs=lrs, seeds=(0, 1, 2, 3), values=other))
    assert before.scored[seed].lr == after.scored[seed].lr


def test_selection_does_see_the_other_seeds():
    table = {(lr, s): lr for lr in (1.0, 2.0, 3.0) for s in range(3)}
    other = table | {(3.0, s): -9.0 for s in range(2)}
    seeds = (0, 1, 2)
    before = choose("A", Grid(lrs=(1.0, 2.0, 3.0), seeds=seeds, values=table))
    after = choose("A", Grid(lrs=(1.0, 2.0, 3.0), seeds=seeds, values=other))
    assert before.scored[2].lr == 1.0
    assert after.scored[2].lr == 3.0


def test_one_divergence_outweighs_any_score():
    table = {(lr, s): 9.0 for lr in (1.0, 2.0, 3.0) for s in range(3)}
    table |= {(2.0, s): -99.0 for s in range(2)} | {(2.0, 2): math.inf}
    choice = choose("A", Grid(lrs=(1.0, 2.0, 3.0), seeds=(0, 1, 2), values=table))
    assert [s.lr for s in choice.scored] == [1.0, 1.0, 2.0]
    assert choice.scored[2].diverged


def test_a_rate_with_fewer_results_is_not_eligible():
    table = {(lr, s): lr for lr in (1.0, 2.0, 3.0) for s in range(4)}
    del table[1.0, 3]
    choice = choose("A", Grid(lrs=(1.0, 2.0, 3.0), seeds=(0, 1, 2, 3), values=table))
    assert [s.lr for s in choice.scored] == [2.0, 2.0, 2.0, 1.0]
    assert choice.scored[3].value is None


def test_cross_fitting_is_not_optimistic_where_naive_selection_is():
    # Five rates of equal true mean 0 and noise 1: the naive "best mean on the same
    # seeds" is the expected minimum of five means, -1.163 / sqrt(4) = -0.58.
    rng = np.random.default_rng(7)
    crossed, naive = [], []
    for _ in range(600):
        noise = rng.normal(size=(5, 4))
        table = {(float(i), s): noise[i, s] for i in range(5) for s in range(4)}
        lrs = tuple(map(float, range(5)))
        choice = choose("A", Grid(lrs=lrs, seeds=(0, 1, 2, 3), values=table))
        crossed.append(choice.mean)
        naive.append(noise.mean(axis=1).min())
    # 4 standard errors of the mean of 600 repetitions.
    assert abs(np.mean(crossed)) < 4 * stats.sem(crossed)
    assert np.mean(naive) == pytest.approx(-0.58, abs=4 * stats.sem(naive))


# --- intervals, p-values and Holm


def test_the_interval_and_the_p_value_are_scipys():
    rng = np.random.default_rng(1)
    mine, other = rng.normal(0.3, 1, 6), rng.normal(0, 1, 6)
    contrast = versus(list(mine), list(other), margin=0.0)
    oracle = stats.ttest_rel(mine, other)
    interval = oracle.confidence_interval(0.95)
    # Two routes to the same float64 numbers: a few ulp apart.
    assert contrast.p == pytest.approx(oracle.pvalue, rel=1e-12)
    assert contrast.interval.low == pytest.approx(interval.low, rel=1e-12)
    assert contrast.interval.high == pytest.approx(interval.high, rel=1e-12)


def test_two_differences_by_hand():
    # Differences 1 and 3: mean 2, standard error 1, t(0.975, 1 df) = 12.7062.
    contrast = versus([2.0, 4.0], [1.0, 1.0])
    assert contrast.mean == 2.0
    assert contrast.interval.low == pytest.approx(2 - 12.7062047, rel=1e-7)
    assert contrast.interval.high == pytest.approx(2 + 12.7062047, rel=1e-7)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 1: times 4, 3, 2, 1, then made non-decreasing.
    # 0.01 <= 0.05 / 4 passes; 0.02 > 0.05 / 3 stops the procedure at its second step.
    found = holm([0.02, None, 0.01, 0.03], 0.05)
    assert [p for p, _ in found] == [pytest.approx(0.06), None, 0.04, 0.06]
    levels = [1 - level for _, level in found]
    assert levels == pytest.approx([0.05 / 3, 0.05 / 3, 0.05 / 4, 0.05 / 3])


@given(ps)
def test_holm_rejects_what_the_step_down_procedure_rejects(given_ps):
    order = sorted(
        range(len(given_ps)), key=lambda i: 1.0 if given_ps[i] is None else given_ps[i]
    )
    rejected = set()
    for rank, i in enumerate(order):
        p = 1.0 if given_ps[i] is None else given_ps[i]
        if p * (len(given_ps) - rank) > 0.05:
            break
        rejected.add(i)
    adjusted = [p for p, _ in holm(given_ps, 0.05)]
    found = {i for i, p in enumerate(adjusted) if p is not None and p <= 0.05}
    assert found == {i for i in rejected if given_ps[i] is not None}


@given(ps, st.randoms())
def test_holm_does_not_depend_on_the_order_of_contenders(given_ps, shuffler):
    order = list(range(len(given_ps)))
    shuffler.shuffle(order)
    found = holm(given_ps, 0.05)
    assert holm([given_ps[i] for i in order], 0.05) == [found[i] for i in order]


def test_scipy_agrees_with_holm_in_a_family_of_one():
    assert holm([0.03], 0.05) == [(0.03, 0.95)]


@given(
    st.floats(-1, 1).filter(lambda x: abs(abs(x) - 0.1) > 1e-6),
    st.floats(1e-3, 1),
    st.integers(1, 20),
)
def test_the_interval_at_level_one_minus_p_reaches_just_to_the_margin(mean, error, df):
    p = claim_p(mean, error, df, 0.1)
    reach = error * stats.t.isf(p / 2, df)
    # isf(sf(x)) returns x with the conditioning of the tail, far below 1e-6 here.
    assert abs(abs(mean) - 0.1) == pytest.approx(reach, rel=1e-6)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-0.2, 0.2), min_size=4, max_size=4), min_size=1, max_size=7
    ),
    st.sampled_from([0.0, 0.01, 0.1]),
)
def test_verdict_interval_and_p_value_never_contradict_each_other(family, margin):
    choices = [scored(values, f"C{i}") for i, values in enumerate(family)]
    reference = scored([0.0] * 4, "AdamW")
    for c in compare(choices, reference, margin=margin, deterministic=False):
        low, high = c.verdict_interval.low, c.verdict_interval.high
        # Both sides of the equivalence carry rounding: leave out the knife's edge.
        if abs(c.p_holm - 0.05) < 1e-9 or c.pairs.error < 1e-12:
            continue
        inside = {
            Verdict.BETTER: high < -margin,
            Verdict.EQUIVALENT: -margin < low and high < margin,
            Verdict.WORSE: low > margin,
        }
        claims = [verdict for verdict, holds in inside.items() if holds]
        assert c.verdict == (claims[0] if claims else Verdict.INCONCLUSIVE)
        assert (c.p_holm <= 0.05) == bool(claims)
        assert c.verdict_interval.level >= 0.95 - 1e-12


@pytest.mark.parametrize("df", [1, 3, 9, 19])
@pytest.mark.parametrize("level", [0.95, 1 - 0.05 / 7])
def test_the_detectable_effect_has_power_of_eighty_percent(df, level):
    critical = stats.t.isf((1 - level) / 2, df)
    power = stats.nct.sf(critical, df, detectable_errors(df, level))
    # The integral over 4000 midpoints leaves an error below 1e-4 of probability; nct
    # itself is good to about 1e-6.
    assert power == pytest.approx(0.8, abs=2e-4)


def test_the_detectable_effect_is_detected_as_often_as_it_says():
    rng = np.random.default_rng(3)
    spread = 0.05
    effect = MARGIN + detectable_errors(3, 0.95) * spread / 2
    found = sum(
        versus(list(rng.normal(effect, spread, 4)), [0.0] * 4).verdict is Verdict.WORSE
        for _ in range(1000)
    )
    # Four standard deviations of a binomial count: 4 sqrt(1000 0.8 0.2) = 51.
    assert abs(found - 800) < 51


# --- how often the verdicts are wrong


def test_the_paired_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(5)
    repetitions = 1500
    covered = 0
    for _ in range(repetitions):
        values = rng.normal(0.1, 1.0, 4)
        interval = versus(list(values), [0.0] * 4).interval
        covered += interval.low <= 0.1 <= interval.high
    assert stats.binomtest(covered, repetitions, 0.95).pvalue > 1e-4


def test_the_interval_covers_with_the_choice_of_the_learning_rate_inside_it():
    # Contender and reference are equal, each with five rates, two of them equally good.
    # The choices of different seeds share runs, so the interval is approximate; the
    # lower binomial bound is taken at 0.94 instead of 0.95 for that.
    plan = SyntheticPlan()
    repetitions = 120
    covered = 0
    for seed in range(repetitions):
        interval = contrast_of(
            analyse(run(plan, Noise(plan, seed=seed)), plan)
        ).interval
        covered += interval.low <= 0 <= interval.high
    assert covered >= stats.binom.ppf(1e-4, repetitions, 0.94)


def test_a_contender_against_itself_is_equivalent():
    plan = SyntheticPlan(contenders=("AdamW", "twin"))
    noise = Noise(SyntheticPlan(contenders=("AdamW",)))

    records = run(plan, lambda spec: noise(replace(spec, contender="AdamW")))
    contrast = contrast_of(analyse(records, plan), "twin")
    assert contrast.mean == 0
    assert contrast.verdict is Verdict.EQUIVALENT


def test_equal_contenders_are_rarely_called_better_or_worse():
    # Seven contenders equal to the reference but for independent noise: the chance of
    # any better or worse within the task is at most 5 %.
    names = ("AdamW", *(f"C{i}" for i in range(7)))
    plan = SyntheticPlan(contenders=names)
    repetitions = 60
    wrong = 0
    for seed in range(repetitions):
        analysis = analyse(run(plan, Noise(plan, seed=seed)), plan)
        verdicts = {result.verdict for result in analysis.tasks[0].results}
        wrong += not verdicts.isdisjoint({Verdict.BETTER, Verdict.WORSE})
    assert wrong <= stats.binom.ppf(1 - 1e-4, repetitions, 0.05)


@pytest.mark.parametrize(
    "effects",
    [
        pytest.param([INSIDE] * 7, id="all-just-inside"),
        pytest.param([OUTSIDE] * 7, id="all-just-outside"),
        pytest.param([-INSIDE, OUTSIDE] * 3 + [0.0], id="both-margins"),
        pytest.param([5.0] * 6 + [INSIDE], id="six-obvious-one-just-inside"),
        pytest.param([0.0] * 7, id="all-equal"),
    ],
)
@pytest.mark.parametrize("shared", [0.0, 0.01], ids=["independent", "one-reference"])
def test_any_wrong_verdict_in_a_task_is_rare(effects, shared):
    # Beside a margin the least error falls into the wrong region: the worst case. The
    # noise of the reference enters every contrast and correlates them.
    rng = np.random.default_rng(11)
    repetitions, wrong = 200, 0
    for _ in range(repetitions):
        noise = rng.normal(0, 0.01, (7, 4)) + rng.normal(0, 1, 4) * shared
        family = [
            scored(list(effect + row), f"C{i}")
            for i, (effect, row) in enumerate(zip(effects, noise, strict=True))
        ]
        found = compare(
            family, scored([0.0] * 4, "AdamW"), margin=MARGIN, deterministic=False
        )
        wrong += any(
            not true_of(c.verdict, e) for c, e in zip(found, effects, strict=True)
        )
    assert wrong <= stats.binom.ppf(1 - 1e-4, repetitions, 0.05)


def true_of(verdict, effect):
    """Whether a verdict is true of the true effect."""
    return {
        Verdict.BETTER: effect < -MARGIN,
        Verdict.WORSE: effect > MARGIN,
        Verdict.EQUIVALENT: abs(effect) < MARGIN,
        Verdict.INCONCLUSIVE: True,
    }[verdict]


def test_two_contenders_diverging_by_chance_are_rarely_told_apart():
    # Each run diverges with probability 1/2, the worst case of the rule.
    rng = np.random.default_rng(13)
    repetitions, wrong = 2000, 0
    for _ in range(repetitions):
        runs = np.where(rng.random((2, 4)) < 0.5, math.inf, rng.normal(0, 0.01, (2, 4)))
        verdict = versus(*runs.tolist()).verdict
        wrong += verdict in (Verdict.BETTER, Verdict.WORSE)
    assert wrong <= stats.binom.ppf(1 - 1e-4, repetitions, 0.05)


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_coarse_scores_that_agree_by_chance_prove_little(seeds):
    # Error rates over 360 images: equal contenders often differ by the same count on
    # every one of few seeds, and a spread of zero is then no certainty. Three seeds
    # are let down by nothing but the five percent that any verdict has.
    rng = np.random.default_rng(17)
    repetitions, wrong = 200, 0
    for _ in range(repetitions):
        rates = rng.binomial(360, 0.03, (9, seeds)) / 360
        found = compare(
            [scored(list(row), f"C{i}") for i, row in enumerate(rates[1:])],
            scored(list(rates[0]), "AdamW"),
            margin=0.005,
            deterministic=False,
        )
        wrong += any(c.verdict in (Verdict.BETTER, Verdict.WORSE) for c in found)
    assert wrong <= stats.binom.ppf(1 - 1e-4, repetitions, 0.05)


def test_two_equal_differences_have_no_interval():
    contrast = versus([2.0, 2.0], [1.0, 1.0])
    assert contrast.mean == 1.0
    assert contrast.interval is contrast.verdict_interval is contrast.p is None
    assert contrast.verdict is Verdict.INCONCLUSIVE
    assert versus([2.0] * 3, [1.0] * 3).verdict is Verdict.WORSE


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        (-0.5, Verdict.BETTER),
        (0.5, Verdict.WORSE),
        (0.0, Verdict.EQUIVALENT),
    ],
)
def test_a_clear_effect_is_called_by_its_name(effect, verdict):
    plan = SyntheticPlan()
    noise = Noise(plan, effects={"AdaXW": effect}, spread=2e-4)
    assert contrast_of(analyse(run(plan, noise), plan)).verdict is verdict


def test_an_inconclusive_comparison_says_what_it_could_have_seen():
    # sd 0.2/sqrt(3), error 0.2/sqrt(12) = 0.0577; at t(0.975, 3 df) = 3.18 and a power
    # of 0.8 an effect must exceed the margin by at least 3.18 errors.
    contrast = versus([0.1, -0.1, 0.1, -0.1], [0.0] * 4)
    assert contrast.verdict is Verdict.INCONCLUSIVE
    assert contrast.detectable > MARGIN + 3.18 * 0.0577


# --- symmetries


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.just(math.inf), st.floats(-0.1, 0.1)),
            st.one_of(st.none(), st.just(math.inf), st.floats(-0.1, 0.1)),
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
def test_swapping_contender_and_reference_mirrors_the_verdict(pairs, deterministic):
    mine, other = zip(*pairs, strict=True)
    if all(value is None for value in mine) or all(value is None for value in other):
        return
    deterministic = deterministic and len(pairs) == 1
    there = versus(list(mine), list(other), deterministic=deterministic)
    back = versus(list(other), list(mine), deterministic=deterministic)
    assert back.verdict == MIRROR.get(there.verdict, there.verdict)
    assert back.p == there.p
    if there.mean is not None:
        assert back.mean == -there.mean


def test_a_whole_analysis_mirrors_when_the_reference_changes():
    plan = SyntheticPlan()
    back = SyntheticPlan(reference="AdaXW")
    records = run(plan, Noise(plan, effects={"AdaXW": -0.3}, spread=0.001))
    assert contrast_of(analyse(records, plan)).verdict is Verdict.BETTER
    assert contrast_of(analyse(records, back), "AdamW").verdict is Verdict.WORSE


def test_the_order_of_the_records_changes_nothing():
    plan = SyntheticPlan(contenders=("AdamW", "AdaXW", "SGD"))
    records = run(plan, Noise(plan))
    expected = json.dumps(to_dict(analyse(records, plan)), sort_keys=True)
    shuffler = random.Random(2)
    for _ in range(5):
        shuffler.shuffle(records)
        assert json.dumps(to_dict(analyse(records, plan)), sort_keys=True) == expected


def test_the_names_of_the_seeds_change_nothing():
    plan = SyntheticPlan()
    renamed = SyntheticPlan(seeds=(7, 11, 30, 101))
    first = contrast_of(analyse(run(plan, Noise(plan)), plan))
    second = contrast_of(analyse(run(renamed, Noise(renamed)), renamed))
    assert first.mean == second.mean
    assert first.verdict_interval == second.verdict_interval


def test_a_common_factor_of_all_scores_changes_nothing_on_the_log_scale():
    plan = SyntheticPlan()
    noise = Noise(plan)
    first = contrast_of(analyse(run(plan, noise), plan))
    second = contrast_of(analyse(run(plan, lambda spec: 1024 * noise(spec)), plan))
    # log(1024 x) rounds once more than log(x): some ulp of log(1024) = 7.
    assert second.mean == pytest.approx(first.mean, abs=1e-14)
    assert second.verdict == first.verdict


def test_runs_outside_the_plan_change_nothing():
    plan = SyntheticPlan()
    wider = SyntheticPlan(seeds=tuple(range(6)), points=7)
    records = run(plan, Noise(plan))
    strangers = [r for r in run(wider, lambda _: 1e-9) if r.spec.seed > 3]
    assert analyse(records + strangers, plan) == analyse(records, plan)


# --- divergence, failure, few seeds


def noisy_pair(effect: float):
    """A plan, its records, and the effect of AdaXW that they carry."""
    plan = SyntheticPlan()
    return plan, run(plan, Noise(plan, effects={"AdaXW": effect}, spread=2e-4))


@pytest.mark.parametrize(
    ("contender", "verdict"), [("AdaXW", Verdict.WORSE), ("AdamW", Verdict.BETTER)]
)
def test_diverging_on_every_seed_is_worse_than_finishing(contender, verdict):
    plan, records = noisy_pair(-0.3)
    records = replaced(records, math.inf, lambda spec: spec.contender == contender)
    contrast = contrast_of(analyse(records, plan))
    assert contrast.verdict is verdict
    assert contrast.p is None
    assert any("diverged at its chosen" in note for note in contrast.notes)


@pytest.mark.parametrize("effect", [-0.3, 0.0])
def test_a_contender_that_diverged_once_is_never_better_nor_equivalent(effect):
    plan, records = noisy_pair(effect)
    centre = plan.lrs("AdaXW")[2]
    records = replaced(
        records,
        math.inf,
        lambda spec: (spec.contender, spec.lr, spec.seed) == ("AdaXW", centre, 2),
    )
    contrast = contrast_of(analyse(records, plan))
    assert contrast.pairs.only_contender_diverged == 1
    assert contrast.verdict not in (Verdict.BETTER, Verdict.EQUIVALENT)


@pytest.mark.parametrize("value", [-0.3, 0.0])
def test_a_divergence_voids_a_claim_and_its_p_value(value):
    values = [value, value + 1e-6, value - 1e-6, math.inf]
    contrast = versus(values, [0.0] * 4)
    assert contrast.verdict is Verdict.INCONCLUSIVE
    assert contrast.p_holm is None
    assert versus(values[:3], [0.0] * 3).verdict is not Verdict.INCONCLUSIVE


def test_a_divergence_does_not_save_a_contender_from_being_worse():
    plan, records = noisy_pair(0.9)
    centre = plan.lrs("AdaXW")[2]
    records = replaced(
        records,
        math.inf,
        lambda spec: (spec.contender, spec.lr, spec.seed) == ("AdaXW", centre, 2),
    )
    assert contrast_of(analyse(records, plan)).verdict is Verdict.WORSE


def test_diverging_together_says_nothing():
    contrast = versus([math.inf] * 4, [math.inf] * 4)
    assert contrast.verdict is Verdict.INCONCLUSIVE
    assert contrast.pairs.both_diverged == 4


def test_a_contender_without_results_failed():
    plan, records = noisy_pair(0.0)
    records = replaced(records, None, lambda spec: spec.contender == "AdaXW")
    analysis = analyse(records, plan)
    assert contrast_of(analysis).verdict is Verdict.FAILED
    assert len(analysis.troubles) == 20
    assert {trouble.kind for trouble in analysis.troubles} == {"failed"}


@pytest.mark.parametrize("how", ["failed", "missing", "not planned"])
def test_without_a_reference_nothing_is_concluded(how):
    plan, records = noisy_pair(-0.5)
    if how == "failed":
        records = replaced(records, None, lambda spec: spec.contender == "AdamW")
    elif how == "missing":
        records = [r for r in records if r.spec.contender != "AdamW"]
    else:
        plan = SyntheticPlan(contenders=("AdaXW",))
    contrast = contrast_of(analyse(records, plan))
    assert contrast.verdict is Verdict.INCONCLUSIVE
    assert any("the reference, has no usable run" in note for note in contrast.notes)


def test_missing_runs_are_counted_and_named():
    plan, records = noisy_pair(0.0)
    analysis = analyse(records[:-3], plan)
    assert (analysis.runs_planned, analysis.runs_done) == (40, 37)
    assert [trouble.kind for trouble in analysis.troubles] == ["missing"] * 3


def test_no_records_at_all_is_an_analysis_too():
    plan = SyntheticPlan()
    analysis = analyse([], plan)
    assert {r.verdict for r in analysis.tasks[0].results} == {Verdict.FAILED}


def test_a_single_seed_has_no_interval_and_says_that_it_chose_in_sample():
    plan = SyntheticPlan(seeds=(0,))
    noise = Noise(plan, effects={"AdaXW": -0.5})
    analysis = analyse(run(plan, noise), plan)
    contrast = contrast_of(analysis)
    assert contrast.verdict is Verdict.INCONCLUSIVE
    assert contrast.mean < -0.4
    assert contrast.interval is None
    assert any("single seed" in note for note in contrast.notes)


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (-0.02, Verdict.BETTER),
        (-0.01, Verdict.EQUIVALENT),
        (0.0, Verdict.EQUIVALENT),
        (0.01, Verdict.EQUIVALENT),
        (0.02, Verdict.WORSE),
        (math.inf, Verdict.WORSE),
        (-math.inf, Verdict.BETTER),
    ],
)
def test_a_deterministic_task_is_decided_by_the_margin_alone(difference, verdict):
    mine = max(difference, 0.0)
    other = max(-difference, 0.0)
    contrast = versus([mine], [other], margin=0.01, deterministic=True)
    assert contrast.verdict is verdict
    assert contrast.exact
    assert contrast.p is None


def test_a_choice_at_the_edge_of_the_grid_is_flagged():
    plan = SyntheticPlan()
    analysis = analyse(run(plan, lambda spec: 1 / spec.lr), plan)
    result = analysis.tasks[0].result("AdaXW")
    assert result.choice.edge
    assert "chosen learning rate at the edge of the grid" in result.notes


def test_a_grid_of_one_point_has_no_edge():
    plan = SyntheticPlan(points=1)
    analysis = analyse(run(plan, Noise(plan)), plan)
    assert not analysis.tasks[0].result("AdaXW").choice.edge


def test_a_margin_of_one_percent_is_one_percent_of_the_score():
    assert math.exp(scale_margin(0.01, "log")) == pytest.approx(1.01, rel=1e-15)
    assert scale_margin(0.01, "linear") == 0.01


def test_fewer_than_ten_seeds_are_a_screening():
    few, many = SyntheticPlan(seeds=(0, 1)), SyntheticPlan(seeds=tuple(range(10)))
    exact = SyntheticPlan(tasks=(SyntheticTask(deterministic=True),))
    assert analyse([], few).screening
    assert not analyse([], many).screening
    assert not analyse([], exact).screening


# --- the JSON form


def test_the_json_form_is_strict_json():
    plan = SyntheticPlan(
        tasks=(
            SyntheticTask(),
            SyntheticTask(name="phases", deterministic=True, scale="linear"),
        )
    )
    noise = Noise(plan)
    records = run(plan, noise)[:-1]
    records = replaced(records, math.inf, lambda spec: spec.contender == "AdaXW")
    text = json.dumps(to_dict(analyse(records, plan)), allow_nan=False)
    assert json.loads(text)["tasks"][0]["results"][1]["verdict"] == "worse"


def test_every_result_has_the_same_keys():
    plan, records = noisy_pair(-0.3)
    results = to_dict(analyse(records, plan))["tasks"][0]["results"]
    assert len({tuple(sorted(result)) for result in results}) == 1
    better = results[1]
    assert better["unit"] == "ratio"
    # exp(-0.3) - 1 = -0.26, up to the noise of 2e-4 and the choice of the rate.
    assert better["effect"] == pytest.approx(math.expm1(-0.3), abs=2e-3)
    low, high = better["verdict_interval"]
    assert low < better["effect"] < high


def test_an_effect_beyond_the_floats_is_null():
    pairs = Pairs(
        differences=((0, 800.0), (1, 801.0)),
        only_contender_diverged=0,
        only_reference_diverged=0,
        both_diverged=0,
        missing=0,
    )
    assert pairs.mean == 800.5
    assert effect(pairs.mean, "log") is None
