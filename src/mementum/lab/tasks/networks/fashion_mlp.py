"""A perceptron on Fashion-MNIST: real images, and ten thousand of them held out."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import linear

from mementum.lab.tasks.data import fashion
from mementum.lab.tasks.networks.images import Examples, Images, Net
from mementum.lab.tasks.sampling import uniform
from mementum.lab.tasks.task import Size, Tier, digest, entry

_STEPS = 1000
_BATCH = 64
_HELD_OUT = 10_000
_SHOWN = 2000


@functools.cache
def images() -> Examples:
    """Return the 60,000 training images (n, 784) between 0 and 1, and their classes."""
    pixels, classes = fashion.load("train")
    shades = torch.tensor(pixels).view(-1, 784).float() / 255
    return shades, torch.tensor(classes).long()


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

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes."""
        return [*self.parameters()]

    def __call__(self, pixels: torch.Tensor, /, *, training: bool) -> torch.Tensor:
        """Return the ten scores of images (n, 784)."""
        hidden = linear(pixels, self.inner, self.inner_bias).relu()
        return linear(hidden, self.outer, self.outer_bias)


def classifier(
    seed: int,
    steps: int = _STEPS,
    *,
    name: str = "fashion-mlp",
    net: Callable[[np.random.Generator], Net] = Perceptron,
) -> Images:
    """Return a net on Fashion-MNIST, of which a sixth is held out."""
    return Images(
        *(seed, steps),
        name=name,
        data=images,
        net=net,
        batch=_BATCH,
        held=_HELD_OUT,
        shown=_SHOWN,
    )


@functools.cache
def fingerprint() -> str:
    """Return the sha256 of the data."""
    return digest(*images())


FASHION_MLP = entry(
    "fashion-mlp",
    "Perceptron 784-100-10 on Fashion-MNIST",
    "validation cross-entropy, nats",
    start=classifier,
    data=fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 4, 0.9),
        Tier.SMOKE: Size(20, 2, 0.1),
        Tier.STANDARD: Size(10_000, 20, 6.0),
    },
    limit=1e3,
)
