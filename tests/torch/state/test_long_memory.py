"""Moments below float32 follow a long memory, and train as well."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tests.torch.state.moments import LOW_FORMATS
from torch import Tensor

from mementum.family.noise import key
from mementum.torch import AdaX, AdaXW
from mementum.torch.state import formats, rounding


def fallen(state_dtype) -> tuple[Tensor, Tensor]:
    """Return AdaX's square, stored and exact, long after the gradient fell tenfold."""
    param = torch.nn.Parameter(torch.zeros(16, 256))
    optimizer = AdaX([param], lr=0.0, weight_decay=0.0, state_dtype=state_dtype)
    exact = np.zeros((16, 256))
    generator = np.random.default_rng(0)
    rule = optimizer._rules_on_host()[0]
    for t in range(1, 10_001):
        grad = generator.standard_normal((16, 256), dtype=np.float32)
        grad *= np.float32(1.0 if t <= 1000 else 0.1)
        param.grad = torch.from_numpy(grad)
        optimizer.step()
        exact += rule.square.weight(t) * (grad.astype(np.float64) ** 2 - exact)
    square = formats.decode("square", optimizer.state[param])
    return square.to(torch.float64), torch.from_numpy(exact)


@pytest.mark.parametrize(
    ("state_dtype", "spread"), [(None, 1e-4), ("bfloat16", 0.12), ("float8", 0.5)]
)
def test_a_square_follows_a_gradient_that_falls_tenfold(state_dtype, spread):
    stored, exact = fallen(state_dtype)
    assert stored.mean().item() == pytest.approx(exact.mean().item(), rel=0.05)
    assert (stored / exact - 1).std().item() <= spread


def test_rounded_to_nearest_the_square_would_freeze():
    # The same average as above in plain operations, and the two ways to round.
    generator = torch.Generator().manual_seed(0)
    rule = AdaX([torch.nn.Parameter(torch.zeros(1))])._rules_on_host()[0]
    exact, noisy, nearest = (torch.zeros(16, 16) for _ in range(3))
    for t in range(1, 10_001):
        scale = 1.0 if t <= 1000 else 0.01
        sample = torch.randn(16, 16, generator=generator).square_() * scale
        weight = rule.square.weight(t)
        exact += weight * (sample - exact)
        noisy += weight * (sample - noisy)
        noise = rounding.words(key(0, "a test", t), noisy.shape, noisy.device)
        noisy.copy_(rounding.bfloat16_square(noisy, noise))
        nearest += weight * (sample - nearest)
        nearest.copy_(nearest.to(torch.bfloat16))
    assert noisy.mean().item() == pytest.approx(exact.mean().item(), rel=0.05)
    assert nearest.mean() > 5 * exact.mean()


def trained(seed: int, state_dtype: str | None) -> float:
    """Return the loss on the digits after 1,000 steps of a small network."""
    images, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    images = images.to(torch.float32) / 16
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = torch.nn.Sequential(
            torch.nn.Linear(64, 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 10),
        )
    loss = torch.nn.functional.cross_entropy
    optimizer = AdaXW(net.parameters(), lr=1e-3, state_dtype=state_dtype, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(1000):
        batch = torch.randint(0, len(images), (64,), generator=generator)
        optimizer.zero_grad()
        loss(net(images[batch]), labels[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        return loss(net(images), labels).item()


def test_low_state_trains_the_digits_as_well_as_float32():
    losses = {
        state_dtype: sum(trained(seed, state_dtype) for seed in range(5)) / 5
        for state_dtype in (None, *LOW_FORMATS)
    }
    for state_dtype in LOW_FORMATS:
        assert losses[state_dtype] <= 1.01 * losses[None]
