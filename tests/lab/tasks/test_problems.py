"""Laws of the problems behind the tasks: exact optima, known chances, known solutions."""

import math

import pytest
import torch

from mementum.lab.tasks.analytic import bistable, reddi_stochastic
from mementum.lab.tasks.analytic.bistable import Bistable, barrier, height
from mementum.lab.tasks.analytic.quad import CONDITION, Quadratic, curvatures, turn
from mementum.lab.tasks.analytic.reddi_stochastic import Stochastic
from mementum.lab.tasks.linear import linear_ae, mf, zipf_linear
from mementum.lab.tasks.linear.linear_ae import Autoencoder
from mementum.lab.tasks.linear.mf import Factors
from mementum.lab.tasks.linear.zipf_linear import Bigram
from mementum.lab.tasks.networks import gan_ring, lm_lstm, pinn_poisson, resnet_digits
from mementum.lab.tasks.networks.lm_lstm import Chain
from mementum.lab.tasks.networks.pinn_poisson import Poisson
from mementum.lab.tasks.networks.resnet_digits import ResidualDigits, shifted
from mementum.lab.tasks.networks.tabular import diabetes, friedman
from mementum.lab.tasks.registry import TASKS, find, of_tier
from mementum.lab.tasks.task import Task, Tier

every_size = pytest.mark.parametrize(
    "task",
    [task for tier in Tier for task in of_tier(tier)],
    ids=lambda task: f"{task.name}-{task.tier}",
)


def slope(place: float) -> float:
    at = torch.tensor(place, dtype=torch.float64, requires_grad=True)
    height(at).backward()
    assert at.grad is not None
    return float(at.grad)


def trained(name: str, steps: int, lr: float) -> float:
    problem = find(name).start(0)
    optimizer = torch.optim.Adam(problem.parameters(), lr=lr)
    for step in range(steps):
        optimizer.zero_grad()
        problem.loss(step).backward()
        optimizer.step()
    with torch.no_grad():
        return problem.evaluate()[1]


@every_size
def test_a_size_is_found_by_its_steps_and_evaluated_on_whole_steps(task: Task) -> None:
    found = find(task.name, task.steps)
    assert (found.tier, found.grid()) == (task.tier, task.grid())
    grid = task.grid()
    assert list(grid) == sorted(set(grid))
    assert (grid[0], grid[-1]) == (0, task.steps)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_size_a_task_does_not_have_is_a_lookup_error(task: Task) -> None:
    with pytest.raises(LookupError, match="no size of 7 steps"):
        find(task.name, 7)


@pytest.mark.parametrize("task", of_tier(Tier.SMOKE), ids=lambda task: task.name)
def test_every_problem_learns_something_in_its_smallest_size(task: Task) -> None:
    problem = task.start(0)
    optimizer = torch.optim.Adam(problem.parameters(), lr=1e-2)
    with torch.no_grad():
        before = problem.evaluate()[0]
    for step in range(task.steps):
        optimizer.zero_grad()
        loss = problem.loss(step)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        train, validation = problem.evaluate()
    assert math.isfinite(train)
    assert math.isfinite(validation)
    # Three are built so that Adam walks uphill at first.
    if task.name not in ("reddi-periodic", "reddi-stochastic", "gan-ring"):
        assert train < before


def test_the_stochastic_slopes_have_the_mean_they_should() -> None:
    problem = Stochastic(0, 4000)
    slopes = torch.where(problem.large, reddi_stochastic.LARGE, -1.0).double()
    chance = (1 + reddi_stochastic.DRIFT) / (reddi_stochastic.LARGE + 1)
    deviation = (reddi_stochastic.LARGE + 1) * math.sqrt(chance * (1 - chance))
    # The mean of n slopes lies within 5 of its standard errors.
    error = 5 * deviation / math.sqrt(slopes.numel())
    assert float(slopes.mean()) == pytest.approx(reddi_stochastic.DRIFT, abs=error)


def test_the_barrier_parts_a_dent_from_a_lower_bowl() -> None:
    top = barrier()
    assert slope(top) == pytest.approx(0.0, abs=1e-12)
    assert slope(top - 0.01) > 0 > slope(top + 0.01)
    line = torch.linspace(-0.2, 1.0, 2401, dtype=torch.float64)
    heights = height(line)
    dent = heights[line < top].min()
    assert float(heights.min()) < float(dent) < float(height(torch.tensor(top)))
    assert float(line[heights.argmin()]) == pytest.approx(bistable.GOAL, abs=1e-3)


def test_the_bistable_score_counts_who_is_left_of_the_barrier() -> None:
    problem = Bistable(0, 1)
    with torch.no_grad():
        problem.position[:] = bistable.GOAL
        problem.position[:64] = 0.0
        assert problem.evaluate()[1] == 0.25


def test_turning_the_quadratic_changes_neither_start_nor_loss() -> None:
    straight, turned = (Quadratic(3, 4, turned=way) for way in (False, True))
    values = curvatures()
    assert float(values.max() / values.min()) == pytest.approx(CONDITION)
    product = turn() @ turn().T
    # Products of 100 float32 terms round by about 100 * 2**-24 at most.
    assert torch.allclose(product, torch.eye(100), atol=100 * 2**-24)
    with torch.no_grad():
        assert straight.evaluate()[1] == 1.0
        assert turned.evaluate()[1] == pytest.approx(1.0, rel=1e-5)
        for step in range(4):
            one, two = float(straight.loss(step)), float(turned.loss(step))
            assert one == pytest.approx(two, rel=1e-5)


def test_the_quadratic_is_zero_at_its_minimum() -> None:
    problem = Quadratic(0, 1, turned=True)
    with torch.no_grad():
        problem.point.zero_()
        assert problem.evaluate() == (0.0, 1e-12)


def test_the_chances_of_the_language_add_up_and_its_entropy_is_what_it_emits() -> None:
    chances = lm_lstm.language()
    assert torch.allclose(chances.sum(dim=-1), torch.ones(64, 64, dtype=torch.float64))
    words = lm_lstm.text(lm_lstm.stream(0, "test"), 4000, 40)[:, 20:]
    told = chances[words[:, :-2], words[:, 1:-1], words[:, 2:]]
    surprise = -told.log()
    # Within 5 standard errors, taking the 18 words of a passage for one.
    error = 5 * float(surprise.mean(dim=1).std()) / math.sqrt(4000)
    assert lm_lstm.entropy_rate() == pytest.approx(float(surprise.mean()), abs=error)


def test_perfect_guesses_have_no_excess_and_no_guesses_are_better() -> None:
    problem = Chain(0, 1)
    truth = (
        lm_lstm.language()[problem.held[:, :-2], problem.held[:, 1:-1]].log().float()
    )
    first = torch.zeros(len(truth), 1, 64)
    problem.guesses = lambda words: torch.cat([first, truth], dim=1)  # type: ignore[method-assign]
    # The chances are rounded to float32 in their logarithms, of size 8 at most.
    assert problem.evaluate()[1] == pytest.approx(0.0, abs=8 * 2**-23)


def test_the_exact_scores_of_the_bigram_language_have_no_excess() -> None:
    problem = Bigram(0)
    with torch.no_grad():
        assert problem.evaluate()[1] > 1
        problem.weight[:] = zipf_linear.language().log()
        problem.bias.zero_()
        assert problem.evaluate()[1] <= 2e-6
        assert problem.evaluate()[0] == pytest.approx(
            float(zipf_linear.law().dot(zipf_linear.entropy())), abs=2e-6
        )


def test_tuned_adam_is_far_ahead_of_tuned_gradient_descent_on_rare_classes() -> None:
    """The positive control: both at the best rate of the grid of the lab."""
    adam = trained("zipf-linear", 400, 1e-2)
    problem = find("zipf-linear").start(0)
    descent = torch.optim.SGD(problem.parameters(), lr=1.0, momentum=0.9)
    for step in range(400):
        descent.zero_grad()
        problem.loss(step).backward()
        descent.step()
    with torch.no_grad():
        assert adam < 0.2 * problem.evaluate()[1]


def test_the_true_factors_leave_the_noise_alone() -> None:
    problem = Factors(0, 8)
    with torch.no_grad():
        for mine, theirs in zip(problem.parameters(), mf.truth(), strict=True):
            mine.copy_(theirs)
        # The deviation of n values is known to 5 / sqrt(2n).
        error = 5 / math.sqrt(2 * mf.HELD)
        assert problem.evaluate()[1] == pytest.approx(1.0, abs=error)


def test_sparse_and_dense_gradients_are_the_same_gradients() -> None:
    dense, sparse = Factors(0, 1), Factors(0, 1, sparse=True)
    for problem in (dense, sparse):
        problem.loss(0).backward()
    for mine, theirs in zip(dense.parameters(), sparse.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert theirs.grad.is_sparse
        assert torch.allclose(mine.grad, theirs.grad.to_dense(), atol=1e-7)


def test_the_principal_components_reach_the_optimum_of_the_autoencoder() -> None:
    problem = Autoencoder(0)
    axes = torch.linalg.eigh(linear_ae.spread())[1][:, -16:].float()
    wide = torch.eye(32, 16)
    with torch.no_grad():
        for each, value in zip(
            problem.maps,
            [wide @ axes.T, wide.T, torch.eye(16), wide, axes @ wide.T],
            strict=True,
        ):
            each.copy_(value)
        # Axes rounded to float32 cost their square, 64 * 2**-48, and rounding in sums.
        assert problem.evaluate()[1] <= 1e-6


def test_the_tables_are_what_their_sources_say() -> None:
    columns, targets, noise = friedman()
    assert columns.shape == (2000, 10)
    # Friedman's function has a variance of about 23.8 and the noise one of 1.
    assert noise**-2 == pytest.approx(24.8, rel=0.1)
    assert float(targets.double().var()) == pytest.approx(1.0, abs=1e-3)
    columns, targets, _ = diabetes()
    assert columns.shape == (442, 10)
    assert float(targets.double().mean()) == pytest.approx(0.0, abs=1e-6)


def test_the_source_of_poissons_equation_is_minus_the_solutions_second_derivative() -> (
    None
):
    place = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    step = 1e-4
    around = [pinn_poisson.solution(place + shift) for shift in (-step, 0.0, step)]
    second = (around[0] - 2 * around[1] + around[2]) / step**2
    # Central differences: the fourth derivative times step**2 / 12, and rounding.
    assert torch.allclose(-second, pinn_poisson.source(place), atol=1e-4)
    assert float(pinn_poisson.solution(torch.tensor(1.0))) == pytest.approx(0, abs=1e-6)


def test_the_derivatives_of_the_net_are_what_differentiating_twice_gives() -> None:
    problem = Poisson(0, 1)
    for tensor in problem.parameters():
        tensor.data = tensor.data.double()
    place = torch.linspace(0, 1, 7, dtype=torch.float64)[:, None].requires_grad_()
    value, slope, bend = problem.net(place)
    first = torch.autograd.grad(value.sum(), place, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), place)[0]
    assert torch.allclose(slope, first, atol=1e-12)
    assert torch.allclose(bend, second, atol=1e-12)


def test_pictures_are_shifted_as_slices_of_a_padded_picture() -> None:
    pictures = torch.rand(9, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    moves = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    found = shifted(pictures, moves, 1, 8)
    framed = torch.nn.functional.pad(pictures, (1, 1, 1, 1))
    for row, (down, right) in enumerate(moves.tolist()):
        assert torch.equal(
            found[row], framed[row, :, down : down + 8, right : right + 8]
        )


def test_evaluating_a_residual_net_leaves_its_running_means_alone() -> None:
    problem = ResidualDigits(0, 3)
    problem.loss(0).backward()
    norm = problem.net.stem_norm
    mean = norm.mean.clone()
    assert not torch.equal(mean, torch.zeros(resnet_digits.WIDTH))
    with torch.no_grad():
        assert problem.evaluate() == problem.evaluate()
    assert torch.equal(norm.mean, mean)


def test_a_residual_net_of_one_block_a_stage_has_eight_layers() -> None:
    problem = ResidualDigits(0, 1)
    maps = [p for p in problem.parameters() if p.dim() >= 2]
    assert len(maps) == 8


def test_points_of_the_ring_miss_no_bump_and_are_near_themselves() -> None:
    generator = lm_lstm.stream(0, "test/ring")
    one, two = gan_ring.ring(generator, 512), gan_ring.ring(generator, 512)
    assert gan_ring.missed(one) == 0.0
    assert gan_ring.distance(one, one.flip(0)) == pytest.approx(0.0, abs=1e-12)
    assert gan_ring.distance(one, one + torch.tensor([3.0, 4.0])) == pytest.approx(
        5, rel=1e-6
    )
    assert gan_ring.missed(one[:, :1].repeat(1, 2) * 0) == 1.0
    # Two samples differ by how many points each bump drew, and by little else.
    assert gan_ring.distance(one, two) < 0.5
