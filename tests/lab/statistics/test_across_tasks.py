"""Laws of the summary over tasks: profiles, ranks, scores and their intervals."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from tests.lab.synthetic import Noise, SyntheticPlan, SyntheticTask, replaced, run

from mementum.lab.statistics import analyse
from mementum.lab.statistics.across_tasks.bootstrap import (
    REPEATS,
    Weights,
    estimate,
    middle_mean,
)
from mementum.lab.statistics.across_tasks.standings import (
    cross_fitted,
    left_out,
    profile,
)
from mementum.lab.statistics.choice import choose
from mementum.lab.statistics.grid import Grid

INF = math.inf
TASKS = tuple(
    SyntheticTask(
        name=f"task-{i}", steps=100, target=1.2 + 0.1 * i, untrained=2.3, best=1.0
    )
    for i in range(3)
)
CONTENDERS = ("AdamW", "AdaXW", "SGD")


def plan(**changes) -> SyntheticPlan:
    return replace(SyntheticPlan(tasks=TASKS, contenders=CONTENDERS), **changes)


def across(of: SyntheticPlan, effects=None, spread: float = 0.02, seed: int = 0):
    noise = Noise(of, effects=effects, spread=spread, seed=seed)
    return analyse(run(of, noise), of).across


def test_a_profile_by_hand():
    # Ratios: first task 1 and 2, second 1.5 and 1, third 1 and never.
    times = np.array([[10, 20], [30, 20], [10, INF]])
    ratios, shares, areas = profile(times, np.full(3, 1 / 3))
    assert ratios == (1.0, 1.5, 2.0, 4.0)
    assert shares.tolist() == [
        pytest.approx([2 / 3, 1, 1, 1]),
        pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3]),
    ]
    # Integrals over [1, 4], divided by 3.
    assert areas == pytest.approx(
        [(0.5 * 2 / 3 + 2.5) / 3, (1.0 * 1 / 3 + 2.0 * 2 / 3) / 3]
    )


def test_a_task_that_nobody_solves_counts_for_nobody():
    _, shares, areas = profile(np.array([[INF, INF], [10, 10]]), np.full(2, 1 / 2))
    assert shares[:, 0].tolist() == [0.5, 0.5]
    assert areas == pytest.approx([0.5, 0.5])


def test_times_of_zero_are_as_fast_as_can_be():
    _, shares, _ = profile(np.array([[0, 0, 10]]), np.ones(1))
    assert shares[:, 0].tolist() == [1, 1, 0]


def test_the_first_resample_is_the_choice_itself():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        table = rng.normal(size=(5, 4))
        table[4, 1] = INF
        lrs = (1.0, 2.0, 3.0, 4.0, 5.0)
        values = {(lr, s): table[i, s] for i, lr in enumerate(lrs) for s in range(4)}
        choice = choose("A", Grid(lrs=lrs, seeds=(0, 1, 2, 3), values=values))
        picks = np.arange(4)[None]
        found = cross_fitted(table, np.ones((1, 4)), picks, np.full(4, 9.0))
        expected = [9.0 if s.diverged else s.value for s in choice.scored]
        assert found[0].tolist() == expected


def test_settings_that_tie_are_chosen_alike_in_data_and_resamples():
    # Error rates of few images: 0.1 + 0.2 and 0.3 tie, whatever rounding makes of them.
    rng = np.random.default_rng(0)
    lrs, order = (1.0, 2.0, 3.0), [1, 0, 2]
    picks, start = np.arange(4)[None], np.full(4, 9.0)
    for _ in range(500):
        table = rng.integers(0, 4, (3, 4)) / 10
        table[rng.random((3, 4)) < 0.1] = INF
        values = {(lr, s): table[i, s] for i, lr in enumerate(lrs) for s in range(4)}
        choice = choose("A", Grid(lrs=lrs, seeds=(0, 1, 2, 3), values=values))
        exact = np.where(np.isfinite(table), np.rint(table * 10), np.inf)
        whole = {key: exact[lrs.index(key[0]), key[1]] for key in values}
        integers = choose("A", Grid(lrs=lrs, seeds=(0, 1, 2, 3), values=whole))
        assert [s.lr for s in choice.scored] == [s.lr for s in integers.scored]
        found = cross_fitted(table[order], np.ones((1, 4)), picks, start)
        assert found[0].tolist() == [
            9.0 if s.diverged else s.value for s in choice.scored
        ]


def test_a_seed_drawn_twice_does_not_choose_for_itself():
    # Drawn: seed 0 twice and seed 1. Seed 0 is scored where seed 1 is best.
    table = np.array([[0.0, 5.0, 0.0], [3.0, 1.0, 9.0]])
    picks = np.array([[0, 0, 1]])
    found = cross_fitted(table, np.array([[2.0, 1.0, 0.0]]), picks, np.zeros(3))
    assert found.tolist() == [[3.0, 3.0, 5.0]]


def test_the_middle_mean_is_the_mean_of_the_middle_half():
    values = np.array([[8.0, 1.0, 3.0, 100.0, 4.0, 5.0, -50.0, 6.0]])
    even = np.full((1, 8), 1 / 8)
    assert middle_mean(values, even) == pytest.approx([(3 + 4 + 5 + 6) / 4])
    # The first has three eighths of the weight, of which one eighth is inside.
    heavy = np.array([[3 / 8, 2 / 8, 2 / 8, 1 / 8]])
    found = middle_mean(np.array([[1.0, 2.0, 3.0, 9.0]]), heavy)
    assert found == pytest.approx([(1 / 8 * 1 + 2 / 8 * 2 + 1 / 8 * 3) / (1 / 2)])


def test_a_number_weighs_nothing_where_its_task_does():
    values = np.array([[5.0, 1.0, 3.0, 100.0, 4.0]])
    kept, few = values[:, :3], np.full((1, 3), 1 / 3)
    none = np.array([[1 / 3, 1 / 3, 1 / 3, 0.0, 0.0]])
    assert middle_mean(values, none) == pytest.approx(middle_mean(kept, few))


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    # The bootstrap's standard error of the mean of n is sd * sqrt((n - 1) / n / n).
    rng = np.random.default_rng(3)
    data = rng.normal(size=40)
    picks = rng.integers(40, size=(REPEATS, 40))
    picks[0] = np.arange(40)
    alone = Weights(these=np.ones(1), drawn=None)
    found = estimate([data[picks]], alone, 0.05, middle=False)
    assert found.value == pytest.approx(data.mean(), rel=1e-12)
    assert found.like_these is None
    width = 2 * 1.96 * data.std(ddof=1) * math.sqrt(39 / 40 / 40)
    # 10,000 resamples know a 95 % interval to about 2 %.
    assert found.these.high - found.these.low == pytest.approx(width, rel=0.06)


def test_places_without_another_by_hand():
    # Means of three contenders on two tasks: ranks (1, 2, 3) and (2, 3, 1).
    means = np.array([[[1.0], [2.0], [3.0]], [[2.0], [3.0], [1.0]]])
    assert left_out(means, ["A", "B", "C"], np.full(2, 1 / 2)) == {
        "A": {"B": 1, "C": 1},
        "B": {"A": 1, "C": 1},
        "C": {"A": 1, "B": 2},
    }


def test_a_contender_that_is_better_everywhere_is_first():
    found = across(plan(), effects={"AdaXW": -0.5, "SGD": 0.5})
    ranks = {s.contender: s.rank.value for s in found.standings}
    assert ranks == {"AdaXW": 1, "AdamW": 2, "SGD": 3}
    scores = {s.contender: s.score.value for s in found.standings}
    assert scores["AdaXW"] > scores["AdamW"] > scores["SGD"]


def test_a_score_of_one_is_the_frozen_best_and_zero_the_frozen_start():
    frozen = SyntheticTask(target=0.7, untrained=2.3, best=0.5)
    of = plan(tasks=(frozen,), contenders=("AdamW", "SGD"))
    records = run(of, lambda s: 0.5 if s.contender == "AdamW" else 2.3)
    found = {s.contender: s for s in analyse(records, of).across.standings}
    assert found["AdamW"].score.value == pytest.approx(1)
    assert found["SGD"].score.value == pytest.approx(0, abs=1e-12)


def test_equal_contenders_share_a_rank_within_its_interval():
    of = plan(tasks=tuple(replace(TASKS[0], name=f"t{i}") for i in range(6)))
    found = across(of, spread=0.1, seed=4)
    for standing in found.standings:
        assert standing.rank.like_these.low < 2 < standing.rank.like_these.high


def test_tasks_like_these_are_less_certain_than_these():
    found = across(plan(), effects={"AdaXW": -0.01}, spread=0.05)
    for standing in found.standings:
        for each in (standing.rank, standing.score):
            assert each.these.low <= each.value <= each.these.high
    wider = [
        (s.score.like_these.high - s.score.like_these.low)
        - (s.score.these.high - s.score.these.low)
        for s in found.standings
    ]
    assert np.mean(wider) > 0


def test_a_task_with_a_missing_result_is_left_out_for_all():
    of = plan()
    records = run(of, Noise(of))
    torn = replaced(
        records, None, lambda s: (s.task, s.contender, s.seed) == ("task-1", "SGD", 0)
    )
    assert analyse(torn, of).across.tasks == ("task-0", "task-2")
    assert analyse([], of).across.tasks == ()


def test_tasks_without_frozen_numbers_have_ranks_alone():
    bare = {"target": None, "untrained": None, "best": None}
    of = plan(tasks=tuple(replace(task, **bare) for task in TASKS))
    found = across(of)
    assert found.timed == found.scored == ()
    assert all(s.score is None and s.area is None for s in found.standings)
    assert all(s.rank is not None for s in found.standings)


def test_a_task_that_training_cannot_improve_has_no_score():
    flat = replace(TASKS[0], name="flat", scale="linear", untrained=0.0, best=0.0)
    assert across(plan(tasks=(*TASKS, flat))).scored == across(plan()).scored


def test_a_family_weighs_as_much_as_one_task():
    """Twins of one task leave its family's weight, and so every number, as it was."""
    kin = replace(TASKS[0], family="kin")
    single = plan(tasks=(kin, *TASKS[1:]))
    twins = tuple(replace(kin, name=f"twin-{i}") for i in range(3))
    doubled = plan(tasks=(*twins, *TASKS[1:]))
    effects = {"AdaXW": -0.3, "SGD": 0.2}
    one, many = (across(of, effects=effects, spread=0.0) for of in (single, doubled))
    assert many.families == (("twin-0", "twin-1", "twin-2"),)
    assert one.families == ()
    for before, after in zip(one.standings, many.standings, strict=True):
        assert after.area == pytest.approx(before.area)
        assert after.rank.value == pytest.approx(before.rank.value)
        assert after.score.value == pytest.approx(before.score.value)
    assert many.without == one.without


def test_tasks_like_these_are_other_families():
    """A single family has no interval for others, however many tasks it has."""
    of = plan(tasks=tuple(replace(task, family="kin") for task in TASKS))
    for standing in across(of).standings:
        assert standing.rank.like_these is None
        assert standing.rank.these is not None


def test_the_order_of_the_records_changes_nothing():
    of = plan()
    records = run(of, Noise(of))
    assert analyse(records[::-1], of).across == analyse(records, of).across


def test_the_sign_test_and_the_share_of_seeds_are_scipys():
    of = SyntheticPlan(seeds=tuple(range(8)))
    analysis = analyse(run(of, Noise(of, effects={"AdaXW": 0.02})), of)
    pairs = analysis.tasks[0].result("AdaXW").contrast.pairs
    values = [d for _, d in pairs.differences]
    assert pairs.wilcoxon == stats.wilcoxon(values).pvalue
    assert pairs.improvement == sum(v < 0 for v in values) / 8
