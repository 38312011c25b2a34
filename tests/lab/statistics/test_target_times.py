"""Laws of the time to a target: misses are censored, not lost."""

import math

import numpy as np
import pytest
from scipy import stats

from mementum.lab.records.run import Curve
from mementum.lab.statistics.target_times import Reach, difference, first_crossing

NAN = math.nan


def reach(*times: int | None, budget: int = 100) -> Reach:
    return Reach(budget=budget, seeds=tuple(range(len(times))), times=times)


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ((3.0, 2.0, 1.0), 20),
        ((1.0, 0.5, 0.2), 0),
        ((3.0, 1.0, 2.0), 10),
        ((3.0, 2.0, 1.5), None),
        ((3.0, NAN, 0.5), 20),
        ((3.0, NAN, NAN), None),
    ],
)
def test_the_first_evaluation_at_or_below_the_target_is_the_time(values, step):
    curve = Curve(steps=(0, 10, 20), train=values, validation=values)
    assert first_crossing(curve, 1.0) == step


@pytest.mark.parametrize(
    "times", [(10, 20, 20, 50), (10, None, 30, None), (None, None), (5,)]
)
def test_the_curve_is_scipys_kaplan_meier_estimate(times):
    sample = stats.CensoredData(
        uncensored=[t for t in times if t is not None],
        right=[100 for t in times if t is None],
    )
    steps, shares = reach(*times).curve()
    oracle = stats.ecdf(sample).cdf.evaluate(np.array(steps))
    # Products of fractions against one fraction: a few ulp apart.
    assert shares == pytest.approx(oracle, abs=1e-14)


@pytest.mark.parametrize(
    "times", [(10, 20, 20, 50), (10, None, 30, None), (None, None)]
)
def test_the_restricted_mean_is_the_area_under_the_survival_curve(times):
    steps, shares = reach(*times).curve()
    area = sum(
        (after - before) * (1 - share)
        for before, after, share in zip(steps, steps[1:], shares, strict=False)
    )
    assert reach(*times).mean == pytest.approx(area, rel=1e-14)


def test_the_median_is_none_where_fewer_than_half_arrive():
    assert reach(10, 20, None, None).median == 20
    assert reach(10, None, None).median is None
    assert reach().median is None


def test_a_miss_is_worth_the_budget_and_no_more():
    assert reach(None, budget=40).mean == 40
    assert reach(None, 10, budget=40).mean == 25


def test_differences_of_times_are_scipys_paired_t():
    mine, other = reach(10, 20, 40, None), reach(20, 20, 60, 90)
    oracle = stats.ttest_rel([10, 20, 40, 100], [20, 20, 60, 90]).confidence_interval()
    found = difference(mine, other, 0.05)
    assert found.low == pytest.approx(oracle.low, rel=1e-12)
    assert found.high == pytest.approx(oracle.high, rel=1e-12)


def test_times_are_paired_by_seed():
    mine = Reach(budget=100, seeds=(1, 2, 3), times=(10, 20, 30))
    other = Reach(budget=100, seeds=(3, 1, 2), times=(35, 15, 25))
    found = difference(mine, other, 0.05)
    assert (found.low, found.high) == (-5, -5)
    assert difference(mine, Reach(budget=100, seeds=(1,), times=(5,)), 0.05) is None
