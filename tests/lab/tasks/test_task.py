"""Laws of the tasks: fixed starts, fixed batches, exact optima."""

import math

import numpy as np
import pytest
import torch

from mementum.lab.tasks.analytic.reddi_periodic import LARGE, PERIOD, SMALL, Periodic
from mementum.lab.tasks.linear.logreg_cancer import objective, optimum, table
from mementum.lab.tasks.networks import lm_bytes as lm
from mementum.lab.tasks.networks.mlp_digits import Digits
from mementum.lab.tasks.problem import Problem
from mementum.lab.tasks.registry import TASKS, find
from mementum.lab.tasks.task import Task, Tier, stream

HERE = [task for task in TASKS if task.tier is not Tier.PAPER]
"""Tasks whose data needs no fetching."""

every_task = pytest.mark.parametrize("task", HERE, ids=lambda task: task.name)


def values(problem: Problem) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in problem.parameters()]


def losses(problem: Problem, steps: list[int]) -> list[float]:
    return [problem.loss(step).item() for step in steps]


@every_task
def test_a_seed_gives_the_same_start_and_the_same_batches_every_time(
    task: Task,
) -> None:
    one, two = task.start(3), task.start(3)
    for mine, yours in zip(values(one), values(two), strict=True):
        assert torch.equal(mine, yours)
    steps = [0, 1, task.steps // 2, task.steps - 1]
    assert losses(one, steps) == losses(two, steps)
    with torch.no_grad():
        assert one.evaluate() == two.evaluate()


@every_task
def test_training_changes_none_of_the_batches_to_come(task: Task) -> None:
    trained, fresh = task.start(1), task.start(1)
    start = values(trained)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
    for step in range(5):
        optimizer.zero_grad()
        trained.loss(step).backward()
        optimizer.step()
    assert any(
        not torch.equal(mine, yours)
        for mine, yours in zip(values(trained), start, strict=True)
    )
    with torch.no_grad():
        for parameter, value in zip(trained.parameters(), start, strict=True):
            parameter.copy_(value)
    assert losses(trained, [5, 6, 7]) == losses(fresh, [5, 6, 7])


@every_task
def test_seeds_make_a_difference_unless_the_task_is_deterministic(task: Task) -> None:
    first, second = task.start(0), task.start(1)
    starts = zip(values(first), values(second), strict=True)
    alike = all(torch.equal(mine, yours) for mine, yours in starts)
    with torch.no_grad():
        for mine, yours in zip(first.parameters(), second.parameters(), strict=True):
            mine.add_(torch.linspace(-0.1, 0.1, mine.numel()).view_as(mine))
            yours.copy_(mine)
    same = losses(first, [0, 1, 2]) == losses(second, [0, 1, 2])
    assert (same and alike) == task.deterministic


@every_task
def test_the_global_random_state_is_neither_read_nor_moved(task: Task) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = task.start(0)
    losses(one, [0])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    for mine, yours in zip(values(one), values(task.start(0)), strict=True):
        assert torch.equal(mine, yours)


@every_task
def test_the_evaluation_grid_runs_from_the_start_to_the_last_step(task: Task) -> None:
    grid = task.grid()
    assert grid[0] == 0
    assert grid[-1] == task.steps
    assert len(grid) == task.evaluations + 1
    assert list(grid) == sorted(set(grid))


@every_task
def test_a_task_is_found_by_its_name_and_knows_its_data(task: Task) -> None:
    assert find(task.name) is task
    assert len(bytes.fromhex(task.data())) == 32


def test_an_unknown_task_is_a_lookup_error() -> None:
    with pytest.raises(LookupError, match="imagenet"):
        find("imagenet")


def test_streams_of_other_names_or_seeds_are_other_streams() -> None:
    keys = [(0, "init"), (1, "init"), (0, "order"), (0, "init2")]
    drawn = {tuple(stream(seed, name).integers(0, 2**62, 4)) for seed, name in keys}
    assert len(drawn) == len(keys)
    assert stream(0, "init").random() == stream(0, "init").random()


def test_every_phase_of_the_periodic_problem_has_one_large_slope_and_a_downhill_mean():
    slopes = Periodic(0).slopes
    assert torch.equal((slopes == LARGE).sum(dim=0), torch.ones(PERIOD))
    assert torch.equal(slopes.sum(dim=0), torch.full((PERIOD,), LARGE + 100 * SMALL))


def test_the_periodic_score_is_the_share_of_phases_that_went_up_in_the_late_half():
    problem = Periodic(0)
    early = torch.linspace(1.0, -1.0, PERIOD)
    late = torch.where(torch.arange(PERIOD) < 30, 1e-3, -1e-3)
    scores = []
    for evaluation in range(21):
        way = early if evaluation <= 10 else late
        with torch.no_grad():
            if evaluation:
                problem.position += way
            scores.append(problem.evaluate()[1])
    assert scores[0] == 0.0
    assert scores[10] == 50 / 101
    assert scores[20] == 30 / 101


def test_newton_finds_what_scipy_finds() -> None:
    minimize = pytest.importorskip("scipy.optimize").minimize
    features, labels = table()

    def value(point: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.tensor(point, requires_grad=True)
        result = objective(at[:-1], at[-1], features, labels)
        result.backward()
        assert at.grad is not None
        return result.item(), at.grad.numpy()

    found = minimize(
        value, np.zeros(31), jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    # The objective is strongly convex with modulus 1/569 in the weights, so a slope of
    # norm 1e-9 leaves at most 569/2 * 1e-18 = 3e-16; the rest is rounding near 0.05.
    assert optimum() == pytest.approx(found.fun, abs=1e-14)
    assert optimum() <= found.fun + 1e-15


def test_the_distance_to_the_optimum_is_never_negative_nor_below_its_precision() -> (
    None
):
    task = find("logreg-cancer")
    problem = task.start(0)
    with torch.no_grad():
        assert problem.evaluate()[1] == pytest.approx(
            math.log(2) - optimum(), abs=1e-12
        )
        assert problem.evaluate()[1] > 0


def test_the_digits_are_split_without_overlap_and_each_seed_has_its_own_split() -> None:
    first, second = Digits(0), Digits(1)
    assert (len(first.kept[1]), len(first.held[1])) == (1437, 360)
    whole = torch.cat([first.kept[0], first.held[0]])
    again = torch.cat([second.kept[0], second.held[0]])
    assert torch.equal(whole.sum(dim=0), again.sum(dim=0))
    assert not torch.equal(first.held[0], second.held[0])


def test_an_untrained_transformer_knows_nothing_of_the_text() -> None:
    problem = find("lm-bytes").start(0)
    with torch.no_grad():
        train, validation = problem.evaluate()
    # Scores of deviation 0.02 * 8 = 0.16 per byte value leave the cross-entropy within
    # about 0.16**2 / 2 nats, 0.02 bits, plus chance, of log2(256) = 8 bits.
    assert validation == pytest.approx(8.0, abs=0.1)
    assert train == pytest.approx(math.log(256), abs=0.07)


def test_the_held_out_text_is_no_part_of_the_training_text() -> None:
    kept, held = (part.tobytes() for part in lm.corpus())
    assert len(held) > 64 * lm.CONTEXT
    piece = held[len(held) // 2 :][:2000]
    assert piece in held
    assert piece not in kept
