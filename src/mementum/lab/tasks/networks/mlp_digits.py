"""A small perceptron on scikit-learn's handwritten digits."""

from __future__ import annotations

import functools

import torch
from torch.nn.functional import cross_entropy, linear

from mementum.lab.records.run import STACKED
from mementum.lab.tasks.sampling import batches, uniform
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 600
_BATCH = 64
HELD_OUT = 360


@functools.cache
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images (1797, 64) between 0 and 1 and their digits."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return torch.tensor(pixels / 16.0, dtype=torch.float32), torch.tensor(digits)


class Digits:
    """64-64-10 with ReLU; a fifth of the images, drawn by the seed, is held out."""

    def __init__(self, seed: int, steps: int = _STEPS) -> None:
        pixels, digits = images()
        rows = stream(seed, "mlp-digits/split").permutation(len(digits))
        held, kept = torch.tensor(rows[:HELD_OUT]), torch.tensor(rows[HELD_OUT:])
        self.held = pixels[held], digits[held]
        self.kept = pixels[kept], digits[kept]
        order = stream(seed, "mlp-digits/order")
        self.batch = batches(order, len(kept), steps, _BATCH)
        init = stream(seed, "mlp-digits/init")
        self.inner = uniform(init, 64, 64)
        self.inner_bias = uniform(init, 64, fan_in=64)
        self.outer = uniform(init, 10, 64)
        self.outer_bias = uniform(init, 10, fan_in=64)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.inner, self.inner_bias, self.outer, self.outer_bias]

    def entropy(self, pixels: torch.Tensor, digits: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of these images, in nats."""
        hidden = linear(pixels, self.inner, self.inner_bias).relu()
        return cross_entropy(linear(hidden, self.outer, self.outer_bias), digits)

    def objective(self) -> torch.Tensor:
        """Return the cross-entropy on the training part."""
        return self.entropy(*self.kept)

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        return self.value(*self.batch_at(step))

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the images and digits of a step, or of several."""
        pixels, digits = self.kept
        rows = self.batch[steps]
        return pixels[rows], digits[rows]

    value = entropy

    def evaluate(self) -> tuple[float, float]:
        """Return the cross-entropy on the training part and on the held-out part."""
        return float(self.objective()), float(self.entropy(*self.held))


def fingerprint() -> str:
    """Return the sha256 of the data."""
    return digest(*images())


DIGITS = entry(
    "mlp-digits",
    "Perceptron 64-64-10 on handwritten digits",
    "validation cross-entropy, nats",
    start=Digits,
    data=fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 20, 0.08),
        Tier.SMOKE: Size(50, 2, 0.007),
        Tier.STANDARD: Size(6000, 20, 0.7),
    },
    limit=1e3,
    # Too noisy to rank: 360 images are held out.
    named_only=(Tier.QUICK, Tier.STANDARD),
    form=STACKED,
)
