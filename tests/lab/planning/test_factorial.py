"""Laws of plans: equal grids, every run once, plain data."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from mementum.lab.planning import contender
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import FormatError
from mementum.lab.tasks import registry

VERSIONS = {"mementum": "1", "torch": "2"}


def plan(seeds: tuple[int, ...] = (0, 1, 2, 3)) -> Plan:
    return factorial(
        tasks=[registry.find("reddi-periodic"), registry.find("mlp-digits")],
        contenders=contender.CONTENDERS,
        seeds=seeds,
        grid=Grid(),
        reference="AdamW",
        versions=VERSIONS,
    )


@pytest.mark.parametrize("points", [1, 3, 5, 9])
@pytest.mark.parametrize("centre", [1e-3, 5e-3, 0.1])
def test_a_grid_has_the_default_in_its_middle_and_equal_ratios(
    points: int, centre: float
) -> None:
    rates = Grid(points=points).around(centre)
    assert len(rates) == points
    assert rates[points // 2] == centre
    for low, high in pairwise(rates):
        # Three significant digits: each rate is off by at most 5e-3 of itself.
        assert high / low == pytest.approx(10**0.5, rel=0.01)


def test_every_contender_gets_the_same_number_of_rates_and_the_same_seeds() -> None:
    for task in plan().tasks:
        shares = {
            name: [
                (spec.seed, rate.index(spec.lr))
                for spec in plan().specs()
                if spec.labels == (task.name, name)
            ]
            for name in (each.name for each in contender.CONTENDERS)
            for rate in [Grid().around(contender.find(name).lr)]
        }
        assert len({tuple(share) for share in shares.values()}) == 1


def test_a_deterministic_task_is_run_with_one_seed() -> None:
    counts = {
        task: sum(spec.task == task for spec in plan().specs())
        for task in ("reddi-periodic", "mlp-digits")
    }
    everyone = len(contender.CONTENDERS)
    assert counts == {"reddi-periodic": everyone * 5, "mlp-digits": everyone * 5 * 4}


def test_no_run_is_planned_twice() -> None:
    ids = [spec.run_id for spec in plan().specs()]
    assert len(set(ids)) == len(ids)


def test_more_seeds_keep_the_runs_of_fewer() -> None:
    few = {spec.run_id for spec in plan((0, 1)).specs()}
    assert few < {spec.run_id for spec in plan((0, 1, 2)).specs()}


def test_a_plan_survives_its_written_form() -> None:
    assert Plan.from_dict(json.loads(json.dumps(plan().to_dict()))) == plan()


def test_a_plan_that_is_none_is_refused() -> None:
    with pytest.raises(FormatError, match="format 9"):
        Plan.from_dict({**plan().to_dict(), "format": 9})
    with pytest.raises(ValueError, match="incomplete"):
        Plan.from_dict({"format": 1})


def test_other_software_makes_other_runs() -> None:
    later = {replace(s, versions={"torch": "3"}).run_id for s in plan().specs()}
    assert not later & {spec.run_id for spec in plan().specs()}
