"""Laws of widening: a chosen end moves outwards, twice at most, whatever came first."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.lab.synthetic import record

from mementum.lab.planning import contender
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.planning.widen import grown, widened
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord, RunSpec
from mementum.lab.statistics import analyse
from mementum.lab.tasks import registry

Score = Callable[[RunSpec], float]


def plan(points: int = 3, names: tuple[str, ...] = ("AdamW", "SGD")) -> Plan:
    return factorial(
        tasks=[registry.find("mlp-digits")],
        contenders=[contender.find(name) for name in names],
        seeds=(0, 1, 2),
        grid=Grid(points=points),
        reference="AdamW",
        versions={"torch": "2"},
    )


def records(of: Plan, score: Score) -> list[RunRecord]:
    return [record(spec, score(spec)) for spec in of.specs()]


def finished(of: Plan, score: Score, times: int = 2) -> Plan:
    """Run and widen until nothing grows any more."""
    before = None
    wider = of
    while wider != before:
        before, wider = wider, grown(replace(of, widen=times), records(wider, score))
    return wider


def rates(of: Plan, name: str) -> list[float]:
    return sorted({spec.lr for spec in of.runs if spec.contender == name})


def lower_is_better(spec: RunSpec) -> float:
    return spec.lr


def centre_is_best(spec: RunSpec) -> float:
    return 1 + abs(spec.lr - {"AdamW": 1e-3, "SGD": 0.1}[spec.contender])


def test_choices_inside_their_grids_change_nothing() -> None:
    of = plan()
    assert widened(of, records(of, centre_is_best)) is of


def test_a_chosen_end_gets_two_more_rates_and_the_other_none() -> None:
    of = plan(names=("AdamW",))
    assert rates(of, "AdamW") == [3.16e-4, 1e-3, 3.16e-3]
    wider = widened(of, records(of, lower_is_better))
    assert rates(wider, "AdamW") == [3.16e-5, 1e-4, 3.16e-4, 1e-3, 3.16e-3]
    wider = widened(of, records(of, lambda s: 1 / s.lr))
    assert rates(wider, "AdamW") == [3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2]


def test_every_new_rate_has_every_seed_and_the_same_options() -> None:
    of = plan()
    fresh = widened(of, records(of, lower_is_better)).runs[len(of.runs) :]
    assert len(fresh) == 2 * 2 * 3
    known = {(s.contender, s.seed): replace(s, lr=0) for s in of.runs}
    assert all(replace(s, lr=0) == known[s.contender, s.seed] for s in fresh)


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_grid_is_widened_no_more_often_than_allowed(times: int) -> None:
    wider = finished(plan(), lower_is_better, times)
    assert len(rates(wider, "SGD")) == 3 + 2 * times


def test_widening_stops_where_the_choice_is_inside() -> None:
    wider = finished(plan(), lambda s: 1 + abs(s.lr - 1e-4))
    assert rates(wider, "AdamW")[0] == 3.16e-5
    assert len(rates(wider, "AdamW")) == 5
    assert len(rates(wider, "SGD")) == 7


def test_an_unfinished_plan_does_not_grow() -> None:
    of = plan()
    of = replace(of, widen=2)
    assert grown(of, records(of, lower_is_better)[1:]) is of


def test_the_order_of_the_records_changes_nothing() -> None:
    of = replace(plan(), widen=2)
    found = records(of, lower_is_better)
    assert grown(of, found) == grown(of, found[::-1])


def test_a_grid_of_one_rate_has_no_end() -> None:
    of = replace(plan(points=1), widen=2)
    assert grown(of, records(of, lower_is_better)) is of


def test_the_published_rate_stays_the_centre_of_a_widened_grid() -> None:
    wider = finished(plan(), lower_is_better)
    analysis = analyse(records(wider, lambda _: 1.0), wider)
    # All rates tie, and ties go to the published default.
    for result in analysis.tasks[0].results:
        assert result.choice.lrs == (wider.centres[result.contender],)
    (default,) = [arm for arm in analysis.arms if arm.name == "default"]
    for result in default.tasks[0].results:
        assert result.choice.grid.lrs == (wider.centres[result.contender],)
