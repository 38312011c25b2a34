"""Laws of modified tasks: schedules, matched updates and probes change what they say."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.lab.running.test_run import planned

from mementum.lab.planning import contender
from mementum.lab.planning.schedule import cosine
from mementum.lab.records.run import Status
from mementum.lab.running import probes
from mementum.lab.running.loop import execute
from mementum.lab.running.modifiers import begin
from mementum.lab.running.run_state import RunState
from mementum.lab.running.sharpness import Hessian
from mementum.lab.tasks.networks.mlp_digits import DIGITS
from mementum.lab.tasks.task import Task

SCHEDULES = {
    "root": [1.0, 1 / math.sqrt(50), 1 / math.sqrt(58), 1 / math.sqrt(83), 0.1],
    "drops": [1.0, 1.0, 0.1, 0.01, 0.01],
    "decline": [1.0, 1 - 0.99 * 49 / 60, 1 - 0.99 * 57 / 60, 0.01, 0.01],
    "cosine": [
        1 / 5,
        *((1 + math.cos(math.pi * (place - 4) / 96)) / 2 for place in (49, 57, 82, 99)),
    ],
}
PLACES = [0, 49, 57, 82, 99]


class Slope:
    """A loss whose gradient is the same at every step."""

    def __init__(self, seed: int = 0) -> None:
        self.place = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def parameters(self) -> list[torch.nn.Parameter]:
        return [self.place]

    def loss(self, step: int) -> torch.Tensor:
        return self.place.dot(torch.tensor([1.0, -2.0, 0.5]).double())

    def evaluate(self) -> tuple[float, float]:
        return 0.0, self.place.norm().item()


SLOPE = Task(
    name="slope",
    version=1,
    title="",
    metric="",
    steps=100,
    evaluations=10,
    deterministic=True,
    scale="linear",
    margin=0.0,
    seconds=0.1,
    start=Slope,
    data=lambda: "00",
)


def made(
    conditions: dict[str, Any], name: str = "SGD", lr: float = 0.5, **options: object
) -> RunState:
    known = contender.find(name)
    given = {**known.options, **options}
    return begin(SLOPE, 0, known.builder(lr, given), **conditions)


def step(making: RunState, number: int) -> torch.Tensor:
    """Take a step; return the way gone."""
    before = making.problem.parameters()[0].detach().clone()
    making.stepper.zero_grad()
    making.problem.loss(number).backward()
    making.stepper.step()
    return making.problem.parameters()[0].detach() - before


@pytest.mark.parametrize("word", SCHEDULES)
def test_a_schedule_scales_the_planned_rate(word: str) -> None:
    making = made({"schedule": word}, momentum=0.0)
    way = torch.stack([step(making, number) for number in range(100)])
    slope = torch.tensor([1.0, -2.0, 0.5]).double()
    for place, share in zip(PLACES, SCHEDULES[word], strict=True):
        torch.testing.assert_close(way[place], -0.5 * share * slope)


@pytest.mark.parametrize("each", contender.CONTENDERS, ids=lambda each: each.name)
def test_matched_updates_have_the_size_of_the_rate(
    each: contender.Contender,
) -> None:
    making = made({"schedule": "drops", "match_updates": True}, each.name, 0.01)
    for number in range(100):
        size = step(making, number).square().mean().sqrt().item()
        if number in PLACES:
            place = PLACES.index(number)
            assert size == pytest.approx(0.01 * SCHEDULES["drops"][place])


@pytest.mark.parametrize("steps", [1, 2, 10, 300])
def test_a_cosine_rises_to_the_rate_once_and_falls_without_a_lost_step(
    steps: int,
) -> None:
    shares = [cosine(step, steps) for step in range(steps)]
    assert max(shares) == 1
    top = shares.index(1)
    assert shares[: top + 1] == sorted(shares[: top + 1])
    assert shares[top:] == sorted(shares[top:], reverse=True)
    assert min(shares) > 0


def test_a_schedule_changes_nothing_before_it_begins() -> None:
    plain = execute(replace(planned("mlp-digits", "Adam", 1e-3), seed=1))
    dropped = execute(
        replace(planned("mlp-digits", "Adam", 1e-3), seed=1, schedule="drops")
    )
    assert dropped.status is Status.FINISHED
    begun = sum(step <= 0.55 * DIGITS.steps for step in plain.curve.steps)
    assert dropped.curve.train[:begun] == plain.curve.train[:begun]
    assert dropped.curve.train[-1] != plain.curve.train[-1]


@pytest.mark.parametrize("word", ["change", "turn"])
def test_a_second_moment_that_stands_still_neither_changes_nor_turns(word: str) -> None:
    making = made({"probe": word}, "Adam")
    for number in range(100):
        step(making, number)
    # Every square is the same, so their mean moves by rounding alone.
    assert making.problem.evaluate()[1] == pytest.approx(0, abs=1e-14)


def test_change_is_what_the_second_moment_moves_in_a_step() -> None:
    making = made({"probe": "change"}, "AdamNC")
    step(making, 0)
    making.problem.parameters()[0].grad = torch.zeros(3, dtype=torch.float64)
    making.stepper.step()
    # The mean of a square and a zero is half the square.
    assert making.problem.evaluate()[1] == pytest.approx(0.5)


@pytest.mark.parametrize("adaptive", [False, True])
def test_sharpness_is_measured_when_the_loss_is_down_at_the_level(
    adaptive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = DIGITS.start(0)
    assert isinstance(problem, probes.Smooth)
    monkeypatch.setattr(probes, "EVERY", 1)
    watched = probes.Sharpness(problem, 2.0, DIGITS.steps, adaptive)
    optimizer = torch.optim.SGD(problem.parameters(), lr=0.1)
    at_start = watched.value
    for number in range(100):
        optimizer.zero_grad()
        loss = watched.loss(number)
        if watched.there:
            break
        with torch.no_grad():
            assert watched.evaluate()[1] == at_start
        loss.backward()
        optimizer.step()
    assert 1.9 < problem.objective().item() <= 2.0
    scale = probes.sizes(problem.parameters()) if adaptive else None
    here = Hessian(problem.objective(), problem.parameters(), scale).largest()
    assert watched.value == here != at_start


def test_a_run_that_never_comes_down_has_no_sharpness() -> None:
    slow = replace(
        planned("mlp-digits", "Adam", 1e-8), probe="sharpness", form="single"
    )
    ended = execute(slow)
    assert ended.status is Status.DIVERGED
    assert len(ended.curve.steps) == len(DIGITS.grid())


def test_sharpness_is_refused_where_it_has_no_level() -> None:
    with pytest.raises(
        LookupError, match="measured on mlp-digits, fashion-mlp-3k, not on slope"
    ):
        made({"probe": "sharpness"})
