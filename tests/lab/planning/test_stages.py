"""Laws of the two stages: what records add to a plan, in any order and after any stop."""

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.lab.synthetic import record

from mementum.lab.planning import contender
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.planning.stages import expected, grown
from mementum.lab.records.plan import Design, Plan
from mementum.lab.records.run import RunRecord, RunSpec
from mementum.lab.statistics import analyse
from mementum.lab.tasks import registry

Score = Callable[[RunSpec], float | None]
DESIGN = Design(pilot=((0, 1), (3, 1), (2, 2)), looks=(3, 6, 12))
CENTRES = {"AdamW": 1e-3, "SGD": 0.1}


def plan(
    points: int = 5,
    names: tuple[str, ...] = ("AdamW", "SGD"),
    task: str = "mlp-digits",
    design: Design = DESIGN,
    widen: int = 0,
) -> Plan:
    return factorial(
        tasks=[registry.find(task)],
        contenders=[contender.find(name) for name in names],
        grid=Grid(points=points),
        reference="AdamW",
        versions={"torch": "2"},
        design=design,
        widen=widen,
    )


def records(of: Plan, score: Score) -> list[RunRecord]:
    return [record(spec, score(spec)) for spec in of.specs()]


def reaching(of: Plan, reach: int) -> Plan:
    assert of.design is not None
    return replace(of, design=replace(of.design, reach=reach))


def finished(of: Plan, score: Score) -> Plan:
    """Run and grow until nothing is added any more."""
    before, wider = None, of
    while wider != before:
        before, wider = wider, grown(of, records(wider, score))
    return wider


def seeds(of: Plan, name: str) -> dict[float, list[int]]:
    found: dict[float, list[int]] = {}
    for spec in of.runs:
        if spec.contender == name:
            found.setdefault(spec.lr, []).append(spec.seed)
    return {lr: sorted(each) for lr, each in sorted(found.items())}


def noise(spec: RunSpec) -> float:
    return random.Random(f"{spec.lr} {spec.seed} {spec.contender}").gauss(0, 0.2)


def centre_is_best(spec: RunSpec) -> float:
    return math.exp(abs(math.log(spec.lr / CENTRES[spec.contender])) + noise(spec))


def low_is_best(spec: RunSpec) -> float:
    return spec.lr * math.exp(noise(spec))


def test_the_pilot_halves_and_fresh_seeds_judge_its_choice() -> None:
    of = plan()
    assert all(spec.seed == 0 for spec in of.runs)
    tried = seeds(finished(of, centre_is_best), "SGD")
    assert tried[0.1] == [0, 1, 2, 3, 4, 5, 6]
    assert sorted(map(len, tried.values())) == [1, 1, 2, 4, 7]
    assert all(seed < DESIGN.first for lr in tried if lr != 0.1 for seed in tried[lr])


def test_nobody_is_judged_before_all_pilots_are_over() -> None:
    of = plan()
    wider = finished(of, centre_is_best)
    own = records(wider, centre_is_best)
    pilots = [r for r in own if r.spec.seed < DESIGN.first]
    last = max(pilots, key=lambda r: (r.spec.contender == "SGD", r.spec.seed))
    known = [r for r in own if r is not last]
    assert all(spec.seed < DESIGN.first for spec in grown(of, known).runs)


@pytest.mark.parametrize("score", [centre_is_best, low_is_best])
@pytest.mark.parametrize("widen", [0, 2])
def test_a_stopped_comparison_goes_on_as_it_would_have(
    score: Score, widen: int
) -> None:
    of = reaching(plan(widen=widen), 3)
    whole = finished(of, score)
    every = records(whole, score)
    assert grown(of, every[::-1]) == whole
    for share in (0.2, 0.5, 0.9):
        part = every[: int(share * len(every))]
        some = grown(of, part)
        ids = [{spec.run_id for spec in each.runs} for each in (some, whole)]
        assert ids[0] <= ids[1]


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_grid_is_widened_no_more_often_than_allowed(times: int) -> None:
    tried = seeds(finished(plan(widen=times), low_is_best), "SGD")
    assert len(tried) == 5 + 2 * times
    assert min(tried) == pytest.approx(0.1 * 10 ** -(1 + times), rel=0.01)


def test_an_open_contrast_gets_more_seeds_and_a_decided_one_none() -> None:
    names = ("AdamW", "SGD", "Adam")
    better = {"SGD": -5.0, "Adam": 0.005, "AdamW": 0.0}

    def score(spec: RunSpec) -> float:
        return math.exp(better[spec.contender] + noise(replace(spec, lr=0)))

    wider = finished(reaching(plan(1, names), 3), score)
    counts = {name: len(seeds(wider, name).popitem()[1]) for name in names}
    assert counts == {"AdamW": 12, "SGD": 3, "Adam": 12}
    analysis = analyse(records(wider, score), wider)
    (task,) = analysis.tasks
    verdicts = {r.contender: (r.verdict.value, r.contrast) for r in task.results}
    assert verdicts["SGD"][0] == "better"
    assert verdicts["SGD"][1].look == 1
    assert verdicts["Adam"][1].look == 3


def test_the_reach_says_how_many_looks_are_taken() -> None:
    for reach, count in ((1, 3), (2, 6), (3, 12)):
        of = reaching(plan(1), reach)
        wider = finished(of, lambda spec: math.exp(noise(spec)))
        assert len(seeds(wider, "SGD")[0.1]) == count


def test_a_deterministic_task_has_one_seed() -> None:
    wider = finished(reaching(plan(task="reddi-periodic"), 3), lambda spec: spec.lr)
    assert {spec.seed for spec in wider.runs} == {0}


def test_a_task_without_chance_is_not_run_again() -> None:
    wider = finished(reaching(plan(), 3), lambda spec: spec.lr)
    assert max(spec.seed for spec in wider.runs) <= DESIGN.judging(1)[-1]


@pytest.mark.parametrize("score", [None, math.inf])
def test_runs_that_failed_or_diverged_end_nothing(score: float | None) -> None:
    def some(spec: RunSpec) -> float | None:
        return score if spec.lr > CENTRES[spec.contender] else centre_is_best(spec)

    tried = seeds(finished(plan(), some), "SGD")
    assert 0.316 not in tried or len(tried[0.316]) <= DESIGN.first
    nobody = finished(reaching(plan(), 3), lambda _: score)
    assert len(nobody.runs) < 100
    analyse(records(nobody, lambda _: score), nobody)


@pytest.mark.parametrize("points", [1, 3, 5])
def test_the_runs_to_come_are_foretold(points: int) -> None:
    for reach in (1, 2):
        of = reaching(plan(points), reach)
        known = len(finished(of, lambda s: math.exp(noise(s))).runs)
        assert expected(of)[of.tasks[0].name] == known


def test_a_plan_without_a_design_does_not_grow() -> None:
    of = replace(plan(), design=None)
    assert grown(of, records(of, low_is_best)) is of


def test_a_plan_survives_its_written_form() -> None:
    of = replace(plan(), left_out=("a is left out: b",))
    assert Plan.from_dict(of.to_dict()) == of


@pytest.mark.parametrize(
    "part",
    [
        {"looks": []},
        {"looks": [8, 4]},
        {"looks": [-4, 8]},
        {"looks": [0, 8]},
        {"reach": 0},
        {"reach": 9},
        {"pilot": [[0, -1]]},
        {"pilot": [[0, True]]},
    ],
)
def test_a_design_that_cannot_be_carried_out_is_no_plan(
    part: dict[str, object],
) -> None:
    plain = plan().to_dict()
    with pytest.raises(ValueError, match="no comparison has the design"):
        Plan.from_dict({**plain, "design": {**plain["design"], **part}})
