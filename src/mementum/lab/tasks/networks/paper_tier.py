"""The papers' own data: MNIST, CIFAR-10 and WikiText-2, fetched when first needed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mementum.lab.tasks.data import cifar, mnist, wikitext
from mementum.lab.tasks.networks.resnet_digits import Residual, shifted
from mementum.lab.tasks.sampling import batches
from mementum.lab.tasks.task import Problem, Size, Task, Tier, digest, entry, stream

_HELD_OUT = 5000
_BATCH = 128
PASSAGES, CONTEXT = 32, 128
_TOGETHER = 1000
"""How many examples are evaluated at a time."""

_Examples = tuple[torch.Tensor, torch.Tensor]


@functools.cache
def digits() -> _Examples:
    """Return MNIST's 60,000 training images, between 0 and 1, and their digits."""
    images, labels = mnist.load("train")
    return torch.tensor(images).float()[:, None] / 255, torch.tensor(labels).long()


@functools.cache
def pictures() -> _Examples:
    """Return CIFAR-10's 50,000 training pictures, standardised, and their classes."""
    images, labels = cifar.load("train")
    values = torch.tensor(images).float() / 255
    deviation, mean = torch.std_mean(values, dim=(0, 2, 3), keepdim=True)
    return (values - mean) / deviation, torch.tensor(labels).long()


@functools.cache
def texts() -> _Examples:
    """Return WikiText-2's training text and its validation text, as bytes."""
    return torch.tensor(wikitext.load("train")), torch.tensor(wikitext.load("valid"))


def _fingerprint(data: Callable[[], _Examples]) -> str:
    """Return the sha256 of the data."""
    return digest(*data())


class _Net(Protocol):
    """What is trained, and the scores it gives to inputs, in training or not."""

    def parameters(self) -> list[nn.Parameter]:
        """Return the tensors to train."""
        ...

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes."""
        ...

    def __call__(self, inputs: torch.Tensor, /, *, training: bool) -> torch.Tensor:
        """Return the scores of inputs."""
        ...


class _Modular:
    """A module as a net; its start is drawn from the seed's own stream."""

    def __init__(self, make: Callable[[], nn.Module], seed: int, name: str) -> None:
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would seed devices too, which nobody puts back.
            start = int(stream(seed, f"{name}/init").integers(2**62))
            torch.default_generator.manual_seed(start)
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


def _resnet(seed: int, name: str) -> Residual:
    """Return ResNet-20 for pictures of 32 by 32."""
    return Residual(stream(seed, f"{name}/init"), channels=3, width=16, blocks=3)


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


class _Images:
    """A classifier of images; 5,000 of them, drawn by the seed, are held out.

    The published test part is not touched: learning rates are chosen by this score.
    With ``augment`` a batch is shifted by up to 4 pixels and mirrored by chance.
    """

    def __init__(
        self,
        seed: int,
        *,
        steps: int,
        name: str,
        data: Callable[[], _Examples],
        net: Callable[[int, str], _Net],
        augment: bool = False,
    ) -> None:
        self.images, self.labels = data()
        held = min(_HELD_OUT, len(self.labels) // 5)
        rows = torch.tensor(stream(seed, f"{name}/split").permutation(len(self.labels)))
        self.held, kept = rows[:held], rows[held:]
        self.shown = kept[:held]
        order = stream(seed, f"{name}/order")
        self.batch = kept[batches(order, len(kept), steps, _BATCH)]
        self.net, self.augment = net(seed, name), augment
        drawn = stream(seed, f"{name}/moves")
        self.moves = torch.from_numpy(drawn.integers(0, 9, (steps, _BATCH, 2)))
        self.turned = torch.from_numpy(drawn.random((steps, _BATCH)) < 0.5)

    def parameters(self) -> list[nn.Parameter]:
        """Return the tensors to train."""
        return self.net.parameters()

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes."""
        return self.net.tensors()

    def inputs(self, step: int) -> torch.Tensor:
        """Return the images of this step's batch."""
        images = self.images[self.batch[step]]
        if not self.augment:
            return images
        moved = shifted(images, self.moves[step], 4, images.shape[-1])
        turned = self.turned[step][:, None, None, None]
        return torch.where(turned, moved.flip(-1), moved)

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        scores = self.net(self.inputs(step), training=True)
        return cross_entropy(scores, self.labels[self.batch[step]])

    def entropy(self, rows: torch.Tensor) -> float:
        """Return the mean cross-entropy of these images, in nats."""
        parts = [
            cross_entropy(
                self.net(self.images[some], training=False),
                self.labels[some],
                reduction="sum",
            )
            for some in torch.split(rows, _TOGETHER)
        ]
        return float(torch.stack(parts).sum()) / len(rows)

    def evaluate(self) -> tuple[float, float]:
        """Return the cross-entropy on training images and on held-out ones."""
        return self.entropy(self.shown), self.entropy(self.held)


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
        self.net = _Modular(_Reader, seed, name)

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
    data: Callable[[], _Examples],
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
            _Images, data=digits, net=functools.partial(_Modular, _perceptron)
        ),
        digits,
        Size(4300, 20, 15.0),
    ),
    _task(
        "mnist-cnn",
        "Convolutional net on MNIST",
        functools.partial(
            _Images, data=digits, net=functools.partial(_Modular, _convolutional)
        ),
        digits,
        Size(4300, 20, 900.0),
    ),
    _task(
        "cifar-resnet20",
        "ResNet-20 on CIFAR-10",
        functools.partial(_Images, data=pictures, net=_resnet, augment=True),
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
