"""Laws of runs without training: they are errors, and scores off the scale are too."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mementum import lab
from mementum.lab.errors import LabError
from mementum.lab.planning.contender import find
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.running import loop
from mementum.lab.running.driver import missing
from mementum.lab.running.rehearsal.trial import rehearse
from mementum.lab.running.run_state import Progress
from mementum.lab.running.stepping.closure import check_trainable
from mementum.lab.tasks import registry
from mementum.lab.tasks.own import user_file
from mementum.lab.tasks.problem import Problem

BATCH = [(torch.ones(4, 1), torch.ones(4, 1))]
QUICK = {"steps": 3, "seeds": 2, "lrs": 1, "contenders": ["SGD"], "evaluations": 3}


def model(bias: float = 0.0) -> torch.nn.Linear:
    torch.manual_seed(0)
    found = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(found.bias, bias)
    return found


def frozen() -> torch.nn.Linear:
    return model().requires_grad_(False)


def mean_square(net: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return (net(batch[0]) - batch[1]).square().mean()


OTHER = model()
UNTRAINED = {
    "another model": {"loss": lambda net, batch: mean_square(OTHER, batch)},
    "no gradient": {"loss": lambda net, batch: mean_square(net, batch).detach()},
    "a constant": {"loss": lambda net, batch: torch.tensor(1.0, requires_grad=True)},
    "times zero": {"loss": lambda net, batch: 0 * mean_square(net, batch)},
    "frozen": {"model": frozen()},
    "no parameters": {"model": torch.nn.ReLU()},
}


@pytest.mark.parametrize("kind", UNTRAINED)
def test_a_run_that_trains_nothing_is_an_error(kind: str) -> None:
    given = {"model": model, "loss": mean_square, **UNTRAINED[kind]}
    given |= {"reference": "SGD", "scale": "linear"}
    with pytest.raises(LabError, match=r"nothing (would be|was) trained"):
        lab.compare_model(**given, train=BATCH, held=BATCH, **QUICK)


def test_a_loss_that_closes_over_the_model_leaves_it_as_it_was() -> None:
    mine = model()
    mine.bias.grad = torch.ones(1)

    def loss(_: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return mean_square(mine, batch)

    with pytest.raises(LabError, match="nothing would be trained"):
        lab.compare_model(mine, loss, BATCH, BATCH, **QUICK)
    assert mine.weight.grad is None
    assert mine.bias.grad.tolist() == [1.0]


def test_a_task_without_steps_trains_nothing() -> None:
    with pytest.raises(LabError, match="has 0 steps, so nothing would be trained"):
        check_trainable([torch.nn.Parameter(torch.ones(1))], "quad", 0)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_weight_decay_alone_trains_nothing(decay: float) -> None:
    zero = replace(registry.find("quad"), steps=3, evaluations=1, scale="linear")
    spec = factorial(
        tasks=[zero],
        contenders=[find("AdamW").decaying(decay)],
        seeds=[0],
        grid=Grid(points=1),
        reference="AdamW",
        versions={},
    ).runs[0]

    def flat(seed: int) -> Problem:
        problem = zero.start(seed)
        sloped = problem.loss
        problem.loss = lambda step: 0 * sloped(step)  # type: ignore[method-assign]
        return problem

    with pytest.raises(LabError, match="all gradients were 0 in 3 steps"):
        loop.train(Progress(), spec, replace(zero, start=flat))


@pytest.mark.parametrize("final", [True, False])
def test_a_score_off_its_scale_ends_the_run_with_a_sentence(final: bool) -> None:
    def below(net: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> float:
        moved = not torch.equal(net.weight, model().weight)
        return -1.5 if moved else 1.0

    changes = {"evaluations": 1 if final else 3}
    with pytest.raises(LabError, match=r'at step \d is -1\.5, .*scale = "linear"'):
        lab.compare_model(
            model(), mean_square, BATCH, BATCH, metric=below, **QUICK | changes
        )
    found = lab.compare_model(
        model(), mean_square, BATCH, BATCH, metric=below, scale="linear", **QUICK
    )
    assert {record.score for record in found.records} == {-1.5}


FILE = """
import torch
steps, batch = 4, 2
def data():
    x = torch.arange(8.0)[:, None]
    return (x, x), (x, x)
def model():
    return torch.nn.Linear(1, 1)
def loss(model, x, y):
    return (model(x) - y).square().mean() {less}
"""


def test_a_task_file_that_scores_below_zero_is_told_of_the_scale(
    tmp_path: Path,
) -> None:
    path = tmp_path / "below.py"
    path.write_text(FILE.replace("{less}", "- 1e9"))
    with pytest.raises(LabError, match='scale = "linear"'):
        rehearse(user_file.load(path), [find("SGD")])


def test_a_task_file_may_have_its_metric_high(
    tmp_path: Path,
) -> None:
    path = tmp_path / "high.py"
    ending = (
        "\ngoal = 'max'\nunit = 'share'\ndef metric(model, x, y):\n    return 0.25\n"
    )
    path.write_text(FILE.replace("{less}", "") + ending)
    task = rehearse(user_file.load(path), [find("SGD")])
    assert task.scale == "linear"
    assert task.metric == "minus share"
    with torch.no_grad():
        assert task.start(0).evaluate()[1] == -0.25
    for odd, words in (
        ("goal = 'up'", "goal is 'up'"),
        ("metric = None", "goal is 'max'"),
    ):
        path = tmp_path / f"odd{len(odd)}.py"
        path.write_text(FILE.replace("{less}", "") + ending + odd)
        with pytest.raises(LabError, match=words):
            rehearse(user_file.load(path), [find("SGD")])


@pytest.mark.parametrize("seeds", [(0, 0), (1, 0, 1), (2, 2, 2)])
def test_equal_seeds_are_one_run(seeds: tuple[int, ...]) -> None:
    plan = factorial(
        tasks=[registry.find("tabular")],
        contenders=[find("SGD")],
        seeds=seeds,
        grid=Grid(points=1),
        reference="SGD",
        versions={},
    )
    assert [run.seed for run in plan.runs] == [*dict.fromkeys(seeds)]
    twice = replace(plan, runs=plan.runs * 2)
    assert len(missing(twice, [])) == len(plan.runs)
