"""Laws of what a run had: no number in its place, and no sample of equal runs."""

import math
from dataclasses import replace

import pytest
from tests.lab.synthetic import Noise, SyntheticPlan, SyntheticTask, run

from mementum.lab.errors import LabError
from mementum.lab.records.run import Curve
from mementum.lab.records.scale import on_scale, turned
from mementum.lab.report import page
from mementum.lab.statistics import Verdict, analyse

SEEDS = [(0, 1), (0, 1, 2, 3), tuple(range(10))]


@pytest.mark.parametrize("score", [0.0, -0.0, -1e-300, -1.5, -math.inf])
def test_a_ratio_has_no_place_for_a_score_of_0_or_less(score):
    for refused in (on_scale, turned):
        with pytest.raises(LabError, match='scale = "linear"'):
            refused(score, "log")
    assert on_scale(score, "linear") == score == -turned(score, "linear")


@pytest.mark.parametrize("where", ["score", "start"])
@pytest.mark.parametrize("value", [0.0, -0.85])
def test_records_below_zero_are_an_error_on_the_log_scale(where, value):
    plan = SyntheticPlan()
    records = run(plan, Noise(plan))
    if where == "score":
        records[7] = replace(records[7], score=value)
    else:
        first = (value, *records[0].curve.validation[1:])
        records = [
            replace(each, curve=replace(each.curve, validation=first))
            for each in records
        ]
    with pytest.raises(LabError, match=r'on bowl .*scale = "linear"'):
        analyse(records, plan)
    linear = replace(plan, tasks=(SyntheticTask(scale="linear"),))
    assert analyse(records, linear).tasks


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_seeds_that_are_all_alike_are_one_run(seeds, scale):
    plan = SyntheticPlan(tasks=(SyntheticTask(scale=scale),), seeds=seeds)
    noise = Noise(plan)
    first = {
        (r.spec.contender, r.spec.lr): r for r in run(plan, noise) if r.spec.seed == 0
    }
    records = [
        replace(first[spec.contender, spec.lr], spec=spec) for spec in plan.specs()
    ]
    task = analyse(records, plan).tasks[0]
    assert task.deterministic
    assert len(task.seeds) == 1
    assert task.result("AdaXW").contrast.exact
    one = analyse(
        records,
        replace(
            plan, seeds=(0,), tasks=(SyntheticTask(scale=scale, deterministic=True),)
        ),
    ).tasks[0]
    assert task.results == one.results


def test_one_seed_that_differs_is_a_sample():
    plan = SyntheticPlan()
    noise = Noise(plan)
    records = [replace(run(plan, noise)[0], spec=spec) for spec in plan.specs()]
    other = records[-1]
    curve = replace(other.curve, train=(*other.curve.train[:-1], 0.5))
    records[-1] = replace(other, curve=curve)
    assert not analyse(records, plan).tasks[0].deterministic


def test_a_run_named_twice_is_one():
    plan = SyntheticPlan()
    records = run(plan, Noise(plan))
    twice = replace(plan, seeds=(0, 0, 1, 1, 2, 3))
    once = analyse(records, plan)
    assert analyse(records, twice).tasks[0].results == once.tasks[0].results
    assert analyse(records, twice).runs_planned == once.runs_planned


def curves(plan, train, validation):
    curve = Curve(steps=(0, 50, 100), train=train, validation=validation)
    return [
        replace(each, curve=curve, score=validation[-1])
        for each in run(plan, Noise(plan))
    ]


@pytest.mark.parametrize(
    ("train", "validation", "asked"),
    [
        ((2.0, 1.0, 0.5), (0.1, 0.8, 0.9), True),
        ((2.0, 1.0, 0.5), (0.1, 0.9, 0.8), True),
        ((2.0, 1.0, 0.5), (0.9, 0.2, 0.1), False),
        ((2.0, 1.0, 0.5), (0.9, 0.2, 1.1), False),
        ((2.0, 2.1, 2.5), (0.1, 0.8, 0.9), False),
        ((2.0, 1.0, 0.5), (0.1, 0.1, 0.1), False),
    ],
)
def test_a_metric_that_rises_while_the_loss_falls_is_questioned(
    train, validation, asked
):
    plan = SyntheticPlan()
    records = curves(plan, train, validation)
    analysis = analyse(records, plan)
    found = analysis.tasks[0].question
    assert ('goal = "max"' in found) is asked
    assert (found.count(".") == 1) is asked
    assert ("Is loss to be high?" in page.render(analysis, records)) is asked
    assert analysis.tasks[0].result("AdamW").verdict is Verdict.REFERENCE
