"""A small convolutional net with batch normalisation on Fashion-MNIST."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch.nn.functional import conv2d, linear

from mementum.lab.tasks.networks.fashion_mlp import classifier, fingerprint
from mementum.lab.tasks.networks.resnet_digits import Norm, Residual
from mementum.lab.tasks.sampling import uniform
from mementum.lab.tasks.task import Size, Tier, entry

_STEPS = 250
_WIDTHS = 16, 32


class Convolutions:
    """Two convolutions of stride 2, each with a batch norm and a ReLU, and a map."""

    def __init__(self, init: np.random.Generator) -> None:
        narrow, wide = _WIDTHS
        self.filters = [
            Residual.filters(init, narrow, 1),
            Residual.filters(init, wide, narrow),
        ]
        self.norms = [Norm(narrow), Norm(wide)]
        self.outer = uniform(init, 10, wide * 49)
        self.outer_bias = uniform(init, 10, fan_in=wide * 49)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        scales = [each for norm in self.norms for each in (norm.gain, norm.shift)]
        return [*self.filters, *scales, self.outer, self.outer_bias]

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes: running means as well."""
        means = [each for norm in self.norms for each in (norm.mean, norm.variance)]
        return [*self.parameters(), *means]

    def __call__(self, pixels: torch.Tensor, /, *, training: bool) -> torch.Tensor:
        """Return the ten scores of images (n, 784)."""
        flow = pixels.view(-1, 1, 28, 28)
        for filters, norm in zip(self.filters, self.norms, strict=True):
            flow = conv2d(flow, filters, stride=2, padding=1)
            flow = norm(flow, training=training).relu()
        return linear(flow.flatten(1), self.outer, self.outer_bias)


FASHION_CONV = entry(
    "fashion-conv",
    "Convolutional net with batch normalisation on Fashion-MNIST",
    "validation cross-entropy, nats",
    start=functools.partial(
        classifier, steps=_STEPS, name="fashion-conv", net=Convolutions
    ),
    data=fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 2, 1.7),
        Tier.SMOKE: Size(10, 2, 0.3),
        Tier.STANDARD: Size(4000, 10, 20.0),
    },
    limit=1e3,
)
