"""Laws of the budget curve: what an expected best of k is, and is not."""

import math
from itertools import combinations

import numpy as np
import pytest

from mementum.lab.statistics.budget import curve, ranked, weights
from mementum.lab.statistics.choice import choose
from mementum.lab.statistics.grid import Grid

SEEDS = (0, 1, 2, 3)
START = dict.fromkeys(SEEDS, 9.0)


def grid(settings: int, seed: int, spread: float = 1.0) -> Grid:
    rng = np.random.default_rng(seed)
    lrs = tuple(float(i + 1) for i in range(settings))
    values = {(lr, s): float(rng.normal(0, spread)) for lr in lrs for s in SEEDS}
    return Grid(lrs=lrs, seeds=SEEDS, values=values)


@pytest.mark.parametrize("n", [1, 2, 5, 25])
def test_one_of_the_settings_is_always_chosen(n):
    for k in range(1, n + 1):
        assert math.fsum(weights(n, k)) == pytest.approx(1, rel=1e-14)


def test_the_chance_of_each_rank_by_hand():
    # Of 4 settings 2 are drawn, 6 ways: the best is in 3, the second leads in 2.
    assert weights(4, 2) == pytest.approx([3 / 6, 2 / 6, 1 / 6, 0])


def test_the_curve_is_the_mean_over_all_subsets():
    for seed in range(4):
        tried = grid(5, seed)
        for k, found in enumerate(curve(tried, START), start=1):
            every = [
                tried.values[next(lr for lr in order if lr in subset), s]
                for s in SEEDS
                for order in [ranked(tried, [o for o in SEEDS if o != s])]
                for subset in combinations(tried.lrs, k)
            ]
            # A mean of 40 numbers of size 1, summed in another order.
            assert found == pytest.approx(np.mean(every), abs=1e-13)


def test_the_whole_budget_gives_the_score_that_verdicts_compare():
    for seed in range(4):
        tried = grid(5, seed)
        assert curve(tried, START)[-1] == pytest.approx(
            choose("A", tried).mean, abs=1e-14
        )


def test_the_first_setting_is_a_draw_from_all():
    tried = grid(5, 1)
    assert curve(tried, START)[0] == pytest.approx(np.mean([*tried.values.values()]))


def test_tuning_over_settings_that_are_alike_buys_nothing_on_average():
    # Rates of equal true mean: a curve that scored where it chose would fall by 0.58.
    falls = []
    for seed in range(300):
        values = curve(grid(5, seed), START)
        falls.append(values[-1] - values[0])
    assert abs(np.mean(falls)) < 4 * np.std(falls) / math.sqrt(len(falls))


def test_a_diverged_run_counts_as_nothing_learned():
    values = {(1.0, 0): 2.0, (1.0, 1): 2.0, (2.0, 0): math.inf, (2.0, 1): math.inf}
    tried = Grid(lrs=(1.0, 2.0), seeds=(0, 1), values=values)
    assert curve(tried, {0: 9.0, 1: 7.0}) == pytest.approx((5.0, 2.0))


def test_without_all_results_there_is_no_curve():
    tried = grid(3, 0)
    torn = Grid(lrs=tried.lrs, seeds=SEEDS, values=dict([*tried.values.items()][1:]))
    assert curve(torn, START) == ()
    assert curve(tried, {}) == ()
    assert curve(Grid(lrs=(), seeds=(), values={}), {}) == ()
