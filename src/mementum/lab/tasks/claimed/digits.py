"""Two small networks on handwritten digits: plain convolutions, and a residual one."""

from __future__ import annotations

import torch
from torch.nn.functional import (
    conv2d,
    cross_entropy,
    linear,
    max_pool2d,
)

from mementum.lab.tasks.networks.mlp_digits import HELD_OUT, fingerprint, images
from mementum.lab.tasks.networks.resnet_digits import Norm
from mementum.lab.tasks.sampling import batches, normal
from mementum.lab.tasks.task import Size, Tier, entry, stream

_STEPS = 300
_BATCH = 64


class _Pictures:
    """Digits as pictures of 8 by 8; a fifth, drawn by the seed, is held out."""

    def __init__(self, seed: int, name: str) -> None:
        pixels, digits = images()
        rows = stream(seed, f"{name}/split").permutation(len(digits))
        held, kept = torch.tensor(rows[:HELD_OUT]), torch.tensor(rows[HELD_OUT:])
        pictures = pixels.view(-1, 1, 8, 8)
        self.held = pictures[held], digits[held]
        self.kept = pictures[kept], digits[kept]
        order = stream(seed, f"{name}/order")
        batch = kept[batches(order, len(kept), _STEPS, _BATCH)]
        self.pictures, self.digits = pictures[batch], digits[batch]


class _Convolution:
    """Two convolutions with pooling, and a linear map to the ten digits."""

    def __init__(self, seed: int) -> None:
        self.data = _Pictures(seed, "conv-digits")
        init = stream(seed, "conv-digits/init")
        self.first = normal(init, 16, 1, 3, 3, scale=(2 / 9) ** 0.5)
        self.second = normal(init, 32, 16, 3, 3, scale=(2 / 144) ** 0.5)
        self.head = normal(init, 10, 128, scale=128**-0.5)
        self.biases = [torch.nn.Parameter(torch.zeros(n)) for n in (16, 32, 10)]

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.first, self.second, self.head, *self.biases]

    def entropy(self, pictures: torch.Tensor, digits: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of these pictures, in nats."""
        first, second, head = self.biases
        flow = max_pool2d(conv2d(pictures, self.first, first, padding=1).relu(), 2)
        flow = max_pool2d(conv2d(flow, self.second, second, padding=1).relu(), 2)
        return cross_entropy(linear(flow.flatten(1), self.head, head), digits)

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        return self.entropy(self.data.pictures[step], self.data.digits[step])

    def evaluate(self) -> tuple[float, float]:
        """Return the cross-entropy on the training part and on the held-out part."""
        return float(self.entropy(*self.data.kept)), float(
            self.entropy(*self.data.held)
        )


class _Normalised:
    """A convolution followed by batch normalisation."""

    def __init__(
        self, weight: torch.nn.Parameter, channels: int, stride: int = 1
    ) -> None:
        self.weight = weight
        self.norm = Norm(channels)
        self.stride = stride

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.weight, self.norm.gain, self.norm.shift]

    def __call__(self, flow: torch.Tensor, *, training: bool) -> torch.Tensor:
        """Return the normalised convolution; training moves the running statistics."""
        padding = self.weight.shape[-1] // 2
        flow = conv2d(flow, self.weight, stride=self.stride, padding=padding)
        return self.norm(flow, training=training)


class _Residual:
    """ResNet-8 of width eight: a convolution, three blocks of two, a linear map."""

    def __init__(self, seed: int) -> None:
        self.data = _Pictures(seed, "residual-digits")
        self.init = stream(seed, "residual-digits/init")
        self.stem = self.layer(1, 8)
        self.blocks = [
            (
                self.layer(a, b, 1 + (b > a)),
                self.layer(b, b),
                self.layer(a, b, 2, 1) if b > a else None,
            )
            for a, b in ((8, 8), (8, 16), (16, 32))
        ]
        self.head = normal(self.init, 10, 32, scale=32**-0.5)
        self.bias = torch.nn.Parameter(torch.zeros(10))

    def layer(
        self, before: int, after: int, stride: int = 1, size: int = 3
    ) -> _Normalised:
        """Return a normalised convolution drawn as He et al. draw it."""
        scale = (2 / (before * size * size)) ** 0.5
        weight = normal(self.init, after, before, size, size, scale=scale)
        return _Normalised(weight, after, stride)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        layers = [self.stem, *(part for block in self.blocks for part in block if part)]
        inside = [each for layer in layers for each in layer.parameters()]
        return [*inside, self.head, self.bias]

    def entropy(
        self, pictures: torch.Tensor, digits: torch.Tensor, *, training: bool
    ) -> torch.Tensor:
        """Return the mean cross-entropy of these pictures, in nats."""
        flow = self.stem(pictures, training=training).relu()
        for first, second, shortcut in self.blocks:
            inner = first(flow, training=training).relu()
            past = flow if shortcut is None else shortcut(flow, training=training)
            flow = (second(inner, training=training) + past).relu()
        return cross_entropy(linear(flow.mean((2, 3)), self.head, self.bias), digits)

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        pictures, digits = self.data.pictures[step], self.data.digits[step]
        return self.entropy(pictures, digits, training=True)

    def evaluate(self) -> tuple[float, float]:
        """Return the cross-entropy on the training part and on the held-out part."""
        train = self.entropy(*self.data.kept, training=False)
        return float(train), float(self.entropy(*self.data.held, training=False))


CONVOLUTION = entry(
    "conv-digits",
    "Two convolutions on handwritten digits",
    "validation cross-entropy, nats",
    start=_Convolution,
    data=fingerprint,
    sizes={Tier.QUICK: Size(_STEPS, 10, 0.8)},
    limit=1e3,
)
RESIDUAL = entry(
    "residual-digits",
    "ResNet-8 with batch normalisation on handwritten digits",
    "validation cross-entropy, nats",
    start=_Residual,
    data=fingerprint,
    sizes={Tier.QUICK: Size(_STEPS, 10, 2.6)},
    limit=1e3,
)
