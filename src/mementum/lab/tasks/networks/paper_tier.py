"""The papers' own data: MNIST, CIFAR-10 and WikiText-2, fetched when first needed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mementum.lab.tasks.data import cifar, mnist, wikitext
from mementum.lab.tasks.networks.images import Examples, Images
from mementum.lab.tasks.networks.resnet_digits import Residual, shifted
from mementum.lab.tasks.problem import Problem
from mementum.lab.tasks.task import Size, Task, Tier, digest, entry, stream

_HELD_OUT = 5000
_BATCH = 128
PASSAGES, CONTEXT = 32, 128


@functools.cache
def digits() -> Examples:
    """Return MNIST's 60,000 training images, between 0 and 1, and their digits."""
    images, labels = mnist.load("train")
    return torch.tensor(images).float()[:, None] / 255, torch.tensor(labels).long()


@functools.cache
def pictures() -> Examples:
    """Return CIFAR-10's 50,000 training pictures, standardised, and their classes."""
    images, labels = cifar.load("train")
    values = torch.tensor(images).float() / 255
    deviation, mean = torch.std_mean(values, dim=(0, 2, 3), keepdim=True)
    return (values - mean) / deviation, torch.tensor(labels).long()


@functools.cache
def texts() -> Examples:
    """Return WikiText-2's training text and its validation text, as bytes."""
    return torch.tensor(wikitext.load("train")), torch.tensor(wikitext.load("valid"))


def _fingerprint(data: Callable[[], Examples]) -> str:
    """Return the sha256 of the data."""
    return digest(*data())


class _Modular:
    """A module as a net; its start is drawn from the seed's own stream."""

    def __init__(
        self, make: Callable[[], nn.Module], init: np.random.Generator
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would seed devices too, which nobody puts back.
            torch.default_generator.manual_seed(int(init.integers(2**62)))
            self.module = make()

    def parameters(self) -> list[nn.Parameter]:
        """Return the tensors to train."""
        return list(self.module.parameters())

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes."""
        return [*self.module.state_dict().values()]

    def __call__(self, inputs: torch.Tensor, /, *, training: bool) -> torch.Tensor:
        """Return the scores of inputs."""
        result: torch.Tensor = self.module.train(training)(inputs)
        return result


def _perceptron() -> nn.Module:
    """Return 784-100-10, the net of AMSGrad's paper."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def _convolutional() -> nn.Module:
    """Return two convolutions with pooling and two linear maps."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 49, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip


def _resnet(init: np.random.Generator) -> Residual:
    """Return ResNet-20 for pictures of 32 by 32."""
    return Residual(init, channels=3, width=16, blocks=3)


class _Reader(nn.Module):
    """An LSTM of width 256 that predicts the next byte."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(256, 256)
        self.lstm = nn.LSTM(256, 256, batch_first=True)
        self.outer = nn.Linear(256, 256)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        """Return the scores of the byte after each, (passages, 256, places)."""
        flow, _ = self.lstm(self.letters(text))
        scores: torch.Tensor = self.outer(flow)
        return scores.movedim(-1, 1)


class _Moved(Images):
    """Images that are shifted by up to 4 pixels and mirrored by chance, by batch."""

    def __init__(self, seed: int, steps: int, *, name: str, **options: Any) -> None:
        super().__init__(seed, steps, name=name, **options)
        drawn = stream(seed, f"{name}/moves")
        moves = drawn.integers(0, 9, (*self.batch.shape, 2))
        self.moves = torch.from_numpy(moves)
        self.turned = torch.from_numpy(drawn.random(self.batch.shape) < 0.5)

    def inputs(self, step: int) -> torch.Tensor:
        """Return the images of this step's batch, as they are moved."""
        images = super().inputs(step)
        moved = shifted(images, self.moves[step], 4, images.shape[-1])
        turned = self.turned[step][:, None, None, None]
        return torch.where(turned, moved.flip(-1), moved)


def _images(
    seed: int, *, steps: int, kind: type[Images] = Images, **options: Any
) -> Images:
    """Return a net on images, of which 5,000 are held out."""
    options |= {"batch": _BATCH, "held": _HELD_OUT, "shown": _HELD_OUT}
    return kind(seed, steps, **options)


class _Text:
    """A byte model on windows of WikiText-2; the validation text is held out."""

    def __init__(self, seed: int, *, steps: int, name: str) -> None:
        self.kept, self.held = texts()
        starts = stream(seed, f"{name}/order").integers(
            0, len(self.kept) - CONTEXT, (steps, PASSAGES)
        )
        self.starts = torch.from_numpy(starts)
        self.spread = [
            torch.linspace(0, len(text) - CONTEXT - 1, 256).long()
            for text in (self.kept, self.held)
        ]
        self.net = _Modular(_Reader, stream(seed, f"{name}/init"))

    def parameters(self) -> list[nn.Parameter]:
        """Return the tensors to train."""
        return self.net.parameters()

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes."""
        return self.net.tensors()

    def entropy(
        self, text: torch.Tensor, starts: torch.Tensor, *, training: bool
    ) -> torch.Tensor:
        """Return the mean cross-entropy of these windows, in nats."""
        reach = torch.arange(CONTEXT + 1, device=starts.device)
        windows = text[starts[:, None] + reach].long()
        scores = self.net(windows[:, :-1], training=training)
        return cross_entropy(scores, windows[:, 1:])

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the windows of this step."""
        return self.entropy(self.kept, self.starts[step], training=True)

    def evaluate(self) -> tuple[float, float]:
        """Return nats per byte on training text, and bits per byte on held-out text.

        Both are over 256 windows spread evenly.
        """
        train, held = (
            float(self.entropy(text, starts, training=False))
            for text, starts in zip((self.kept, self.held), self.spread, strict=True)
        )
        return train, held / math.log(2)


def _task(
    name: str,
    title: str,
    start: Callable[..., Problem],
    data: Callable[[], Examples],
    size: Size,
    *,
    metric: str = "validation cross-entropy, nats",
) -> Task:
    """Return a task of the paper tier."""
    return entry(
        name,
        title,
        metric,
        start=functools.partial(start, steps=size.steps, name=name),
        data=functools.partial(_fingerprint, data),
        sizes={Tier.PAPER: size},
        limit=1e3,
    )


PAPER: tuple[Task, ...] = (
    _task(
        "mnist-mlp",
        "Perceptron 784-100-10 on MNIST",
        functools.partial(
            _images, data=digits, net=functools.partial(_Modular, _perceptron)
        ),
        digits,
        Size(4300, 20, 15.0),
    ),
    _task(
        "mnist-cnn",
        "Convolutional net on MNIST",
        functools.partial(
            _images, data=digits, net=functools.partial(_Modular, _convolutional)
        ),
        digits,
        Size(4300, 20, 900.0),
    ),
    _task(
        "cifar-resnet20",
        "ResNet-20 on CIFAR-10",
        functools.partial(_images, kind=_Moved, data=pictures, net=_resnet),
        pictures,
        Size(64_000, 40, 40_000.0),
    ),
    _task(
        "wikitext-lstm",
        "Byte LSTM of width 256 on WikiText-2",
        _Text,
        texts,
        Size(10_000, 20, 2500.0),
        metric="validation bits per byte",
    ),
)
