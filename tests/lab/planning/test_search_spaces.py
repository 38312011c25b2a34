"""Laws of full tuning: ranges are kept, and every trial is known beforehand."""

import pytest
import torch

from mementum import Memory
from mementum.lab.planning import factorial as search
from mementum.lab.planning import search_spaces
from mementum.lab.planning.contender import CONTENDERS, Contender, find
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.tasks import registry

tuned = pytest.mark.parametrize("contender", CONTENDERS, ids=lambda c: c.name)


@tuned
def test_trials_stay_in_their_ranges(contender: Contender) -> None:
    for lr, options in search.halton_trials(contender, 300, 64):
        assert contender.lr / 10 <= lr <= contender.lr * 10
        assert options.keys() == contender.options.keys()
        assert 1e-4 <= options["weight_decay"] <= 1e-1
        if "betas" in options:
            first, second = options["betas"]
            assert 0.5 <= first <= 0.98
            assert 0 < second < 1


@tuned
def test_trials_differ_and_vary_every_dimension(contender: Contender) -> None:
    drawn = search.halton_trials(contender, 300, 25)
    assert len({lr for lr, _ in drawn}) == 25
    assert len({str(options) for _, options in drawn}) == 25


@tuned
def test_more_trials_keep_the_fewer(contender: Contender) -> None:
    few, many = (search.halton_trials(contender, 300, count) for count in (8, 25))
    assert many[:8] == few
    assert search.halton_trials(contender, 300, 0) == []


@tuned
@pytest.mark.parametrize("steps", [1, 10, 40, 1000])
def test_every_trial_is_one_its_optimizer_takes(
    contender: Contender, steps: int
) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    for lr, options in search.halton_trials(contender, steps, 64):
        contender.optimizer([parameter], lr, options)


@pytest.mark.parametrize("log_ratio", [1e-6, 1e-4, 7e-3, 0.23, 2.0])
def test_a_beta_gives_back_the_ratio_it_was_made_for(log_ratio: float) -> None:
    for beta, memory in (
        (search_spaces.adax_beta(log_ratio), Memory.adax),
        (search_spaces.adamnx_beta(log_ratio), Memory.adamnx),
    ):
        # Rounded to six digits, a beta2 of 0.999 knows 1 - beta2 to 1e-3 only.
        assert memory(beta).log_ratio == pytest.approx(log_ratio, rel=2e-3)


def test_a_growing_memory_is_drawn_by_its_horizon() -> None:
    for steps in (300, 3000):
        kappas = [
            steps * Memory.adax(options["betas"][1]).log_ratio
            for _, options in search.halton_trials(find("AdaXW"), steps, 25)
        ]
        assert 0.1 <= min(kappas) < 1
        assert 7 < max(kappas) <= 50


def test_matched_contenders_are_trials_of_their_originals_already() -> None:
    plan = factorial(
        tasks=[registry.find("logreg-cancer")],
        contenders=CONTENDERS,
        seeds=(0, 1),
        grid=Grid(points=3),
        reference="AdamW",
        versions={},
        trials=5,
    )
    names = {spec.contender for spec in plan.trials}
    assert names == {c.name for c in CONTENDERS if c.matched is None}
    assert len(plan.trials) == 8 * 5 * 2
    ids = [spec.run_id for spec in plan.specs()]
    assert len(set(ids)) == len(ids)
    assert type(plan).from_dict(plan.to_dict()) == plan
