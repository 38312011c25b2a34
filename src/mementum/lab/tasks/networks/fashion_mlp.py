"""A perceptron on Fashion-MNIST: real images, and ten thousand of them held out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import cross_entropy, linear

from mementum.lab.tasks.data import fashion
from mementum.lab.tasks.sampling import batches, uniform
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 1000
BATCH = 64
HELD_OUT = 10_000
SHOWN = 2000
"""How many training images the training objective is taken over."""
_TOGETHER = 1000
"""How many images are evaluated at a time."""


@functools.cache
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the 60,000 training images (n, 784) between 0 and 1, and their classes.

    The published test part is not touched: learning rates are chosen by this score.
    """
    pixels, classes = fashion.load("train")
    return torch.tensor(pixels).view(-1, 784).float() / 255, torch.tensor(
        classes
    ).long()


class Net(Protocol):
    """A classifier of images of 28 by 28 into ten classes."""

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        ...

    def __call__(self, pixels: torch.Tensor, *, training: bool) -> torch.Tensor:
        """Return the ten scores of images (n, 784)."""
        ...


class Perceptron:
    """784-100-10 with ReLU, the net of AMSGrad's paper."""

    def __init__(self, init: np.random.Generator) -> None:
        self.inner = uniform(init, 100, 784)
        self.inner_bias = uniform(init, 100, fan_in=784)
        self.outer = uniform(init, 10, 100)
        self.outer_bias = uniform(init, 10, fan_in=100)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.inner, self.inner_bias, self.outer, self.outer_bias]

    def __call__(self, pixels: torch.Tensor, *, training: bool) -> torch.Tensor:
        """Return the ten scores of images (n, 784)."""
        hidden = linear(pixels, self.inner, self.inner_bias).relu()
        return linear(hidden, self.outer, self.outer_bias)


class Fashion:
    """A net on the images; a sixth of them, drawn by the seed, is held out."""

    def __init__(
        self,
        seed: int,
        steps: int = _STEPS,
        *,
        name: str = "fashion-mlp",
        net: Callable[[np.random.Generator], Net] = Perceptron,
    ) -> None:
        self.pixels, self.classes = images()
        count = len(self.classes)
        held = min(HELD_OUT, count // 6)
        rows = torch.tensor(stream(seed, f"{name}/split").permutation(count))
        self.held, kept = rows[:held], rows[held:]
        self.shown = kept[:SHOWN]
        order = stream(seed, f"{name}/order")
        self.batch = kept[batches(order, len(kept), steps, BATCH)]
        self.net = net(stream(seed, f"{name}/init"))

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return self.net.parameters()

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        rows = self.batch[step]
        scores = self.net(self.pixels[rows], training=True)
        return cross_entropy(scores, self.classes[rows])

    def entropy(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of these images, in nats."""
        parts = [
            cross_entropy(
                self.net(self.pixels[some], training=False),
                self.classes[some],
                reduction="sum",
            )
            for some in torch.split(rows, _TOGETHER)
        ]
        return torch.stack(parts).sum() / len(rows)

    def objective(self) -> torch.Tensor:
        """Return the cross-entropy on 2,000 training images."""
        return self.entropy(self.shown)

    def evaluate(self) -> tuple[float, float]:
        """Return the cross-entropy on 2,000 training images and on those held out."""
        return float(self.objective()), float(self.entropy(self.held))


@functools.cache
def fingerprint() -> str:
    """Return the sha256 of the data."""
    return digest(*images())


FASHION_MLP = entry(
    "fashion-mlp",
    "Perceptron 784-100-10 on Fashion-MNIST",
    "validation cross-entropy, nats",
    start=Fashion,
    data=fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 4, 0.9),
        Tier.SMOKE: Size(20, 2, 0.1),
        Tier.STANDARD: Size(10_000, 20, 6.0),
    },
    limit=1e3,
)
