"""Laws of sharpness: the matrix-free eigenvalue is the matrix's, and it is a measure."""

import math

import pytest
import torch
from torch.nn.functional import mse_loss

from mementum.lab.running.sharpness import TOLERANCE, Hessian, sizes

WIDTHS = ((5, 3), (3,), (2, 3))


def network(flat: torch.Tensor) -> torch.Tensor:
    """Return the loss of a tanh network with these 26 parameters."""
    rows = torch.linspace(-1, 1, 40).reshape(8, 5).double()
    inner, bias, outer = parts(flat)
    hidden = torch.tanh(rows @ inner + bias)
    return mse_loss(hidden @ outer.T, rows[:, :2].sin())


def parts(flat: torch.Tensor) -> list[torch.Tensor]:
    found, start = [], 0
    for shape in WIDTHS:
        number = math.prod(shape)
        found.append(flat[start : start + number].reshape(shape))
        start += number
    return found


def start(seed: int = 0) -> torch.Tensor:
    number = sum(map(math.prod, WIDTHS))
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(number, generator=draw, dtype=torch.float64)


def lazily(flat: torch.Tensor, *, adaptive: bool = False) -> Hessian:
    """Return the Hessian over the network's parameters, one tensor each."""
    leaves = [part.clone().requires_grad_() for part in parts(flat)]
    loss = network(torch.cat([leaf.flatten() for leaf in leaves]))
    return Hessian(loss, leaves, sizes(leaves) if adaptive else None)


def test_products_are_those_of_the_dense_hessian() -> None:
    for seed in range(3):
        flat, vector = start(seed), start(seed + 10)
        dense = torch.autograd.functional.hessian(network, flat)
        torch.testing.assert_close(lazily(flat).times(vector), dense @ vector)


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_largest_eigenvalue_is_that_of_the_dense_hessian(adaptive: bool) -> None:
    for seed in range(3):
        flat = start(seed)
        dense = torch.autograd.functional.hessian(network, flat)
        scale = flat.abs() if adaptive else torch.ones_like(flat)
        expected = torch.linalg.eigvalsh(scale[:, None] * dense * scale)[-1].item()
        found = lazily(flat, adaptive=adaptive).largest()
        # Lanczos stops at this relative error.
        assert found == pytest.approx(expected, rel=TOLERANCE)


def product(scale: float) -> tuple[float, float]:
    """Return plain and adaptive sharpness of a product whose factors are rescaled."""
    left = (scale * torch.tensor([1.0, 2.0, 0.5]).double()).requires_grad_()
    right = (torch.tensor([0.7, -1.0, 2.0]).double() / scale).requires_grad_()
    leaves = [left, right]
    loss = (left.dot(right) - 1).square()
    plain = Hessian(loss, leaves).largest()
    loss = (left.dot(right) - 1).square()
    return plain, Hessian(loss, leaves, sizes(leaves)).largest()


def test_rescaling_changes_plain_sharpness_and_not_adaptive_sharpness() -> None:
    plain, adaptive = product(1.0)
    plain_10, adaptive_10 = product(10.0)
    assert plain_10 > 10 * plain
    assert adaptive_10 == pytest.approx(adaptive, rel=2 * TOLERANCE)


def test_the_same_parameters_have_the_same_sharpness() -> None:
    assert lazily(start()).largest() == lazily(start()).largest()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_products_are_those_of_curvlinops() -> None:
    curvlinops = pytest.importorskip("curvlinops")
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(12, 4, generator=draw)
    goal = torch.randn(12, 2, generator=draw)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2)
    )
    leaves = list(model.parameters())
    with torch.no_grad():
        for leaf in leaves:
            leaf.copy_(torch.randn(leaf.shape, generator=draw))
    oracle = curvlinops.HessianLinearOperator(
        model, torch.nn.MSELoss(), leaves, [(rows, goal)]
    )
    ours = Hessian(mse_loss(model(rows), goal), leaves)
    vector = torch.randn(ours.size, generator=draw)
    torch.testing.assert_close(ours.times(vector), (oracle @ vector).detach())
