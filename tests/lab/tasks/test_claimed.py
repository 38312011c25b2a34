"""Laws of the problems that claims are about."""

import math

import numpy as np
import pytest
import torch

from mementum import AdaX
from mementum.lab.tasks.claimed import PROBLEMS
from mementum.lab.tasks.claimed.fading_gradient import DECAY, Fading
from mementum.lab.tasks.claimed.lstm_chain import WORDS, language, text
from mementum.lab.tasks.claimed.reddi_random import MEAN, RandomSigns
from mementum.lab.tasks.claimed.two_basins import EDGE, GOAL, Basins
from mementum.lab.tasks.registry import TASKS
from mementum.lab.tasks.task import Task

every_problem = pytest.mark.parametrize("task", PROBLEMS, ids=lambda task: task.name)


@every_problem
def test_a_seed_gives_the_same_problem_and_another_seed_another(task: Task) -> None:
    one, two, other = task.start(3), task.start(3), task.start(4)
    steps = [0, 1, task.steps - 1]
    for step in steps:
        for problem in (one, two, other):
            loss = problem.loss(step)
            grads = torch.autograd.grad(loss, problem.parameters(), allow_unused=True)
            problem.slopes_seen = [grad for grad in grads if grad is not None]
        mine, yours, theirs = (
            torch.cat([grad.flatten() for grad in problem.slopes_seen])
            for problem in (one, two, other)
        )
        assert torch.equal(mine, yours)
        if step == 0 or task.name == "fading-gradient":
            assert torch.equal(mine, theirs) is task.deterministic


@every_problem
def test_a_problem_starts_with_finite_numbers_and_leaves_training_data_alone(
    task: Task,
) -> None:
    problem = task.start(0)
    with torch.no_grad():
        before = problem.evaluate()
        assert all(map(math.isfinite, before))
        assert problem.evaluate() == before
    assert len(task.data()) == 64


def test_no_problem_has_the_name_of_a_task_of_comparisons() -> None:
    names = [task.name for task in (*TASKS, *PROBLEMS)]
    assert len(names) == len(set(names))


def test_the_trap_is_a_local_minimum_before_the_basin() -> None:
    problem = Basins(0)
    with torch.no_grad():
        problem.position.copy_(torch.linspace(-2, 5, 256))
    values = problem.values().detach().numpy()
    lowest = [
        i
        for i in range(1, 255)
        if values[i] < values[i - 1] and values[i] < values[i + 1]
    ]
    places = [problem.position[i].item() for i in lowest]
    assert len(places) == 2
    assert places == pytest.approx([0, GOAL], abs=0.1)
    assert places[0] < EDGE < places[1]
    assert values[lowest[1]] < values[lowest[0]]


def test_random_gradients_have_the_mean_that_decides_the_right_way() -> None:
    slopes = RandomSigns(0).slopes
    # 1.3 million draws with a deviation of 5.4: the error of the mean is 0.005.
    assert slopes.mean().item() == pytest.approx(MEAN, abs=0.025)


def test_a_fading_gradient_shows_the_step_size_of_the_second_moment() -> None:
    problem = Fading(0)
    optimizer = AdaX(
        problem.parameters(), lr=0.1, betas=(0.0, 0.02), eps=0.0, weight_decay=0.0
    )
    square, steps = 0.0, 300
    for step in range(steps):
        optimizer.zero_grad()
        problem.loss(step).backward()
        optimizer.step()
        square = 1.02 * square + 0.02 * DECAY ** (2 * step)
    expected = 1 / math.sqrt(square / (1.02**steps - 1))
    # Each step loses some ulps of the position, which the fading gradient magnifies.
    assert problem.evaluate()[1] == pytest.approx(expected, rel=1e-9)


def test_the_text_has_the_entropy_that_is_subtracted() -> None:
    chances, entropy = language()
    assert chances.sum(axis=1) == pytest.approx(np.ones(WORDS))
    words = text().numpy()
    surprise = -np.log(chances[words[:, :-1], words[:, 1:]])
    # 59,940 words with a deviation of about 1.3 nats: the error is about 0.006.
    assert surprise.mean() == pytest.approx(entropy, abs=0.03)
