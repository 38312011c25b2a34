"""Classifiers of images, some of which are held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mementum.lab.tasks.sampling import batches
from mementum.lab.tasks.task import stream

Examples = tuple[torch.Tensor, torch.Tensor]
_TOGETHER = 1000
"""How many images are evaluated at a time."""


class Net(Protocol):
    """What is trained, and the scores it gives to inputs, in training or not."""

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        ...

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes."""
        ...

    def __call__(self, inputs: torch.Tensor, /, *, training: bool) -> torch.Tensor:
        """Return the scores of inputs."""
        ...


class Images:
    """A net on labelled images; some of them, drawn by the seed, are held out.

    The published test part is not touched: learning rates are chosen by this score.
    """

    def __init__(
        self,
        seed: int,
        steps: int,
        *,
        name: str,
        data: Callable[[], Examples],
        net: Callable[[np.random.Generator], Net],
        batch: int,
        held: int,
        shown: int,
    ) -> None:
        """`held` images are scored, and `shown` of those trained on.

        No more than a fifth is held out.
        """
        self.images, self.labels = data()
        count = len(self.labels)
        held = min(held, count // 5)
        rows = torch.tensor(stream(seed, f"{name}/split").permutation(count))
        self.held, kept = rows[:held], rows[held:]
        self.shown = kept[:shown]
        order = stream(seed, f"{name}/order")
        self.batch = kept[batches(order, len(kept), steps, batch)]
        self.net = net(stream(seed, f"{name}/init"))

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return self.net.parameters()

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes."""
        return self.net.tensors()

    def inputs(self, step: int) -> torch.Tensor:
        """Return the images of this step's batch."""
        return self.images[self.batch[step]]

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        scores = self.net(self.inputs(step), training=True)
        return cross_entropy(scores, self.labels[self.batch[step]])

    def entropy(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of these images, in nats."""
        parts = [
            cross_entropy(
                self.net(self.images[some], training=False),
                self.labels[some],
                reduction="sum",
            )
            for some in torch.split(rows, _TOGETHER)
        ]
        return torch.stack(parts).sum() / len(rows)

    def objective(self) -> torch.Tensor:
        """Return the cross-entropy on some of the images that are trained on."""
        return self.entropy(self.shown)

    def evaluate(self) -> tuple[float, float]:
        """Return the cross-entropy on training images and on held-out ones."""
        return float(self.objective()), float(self.entropy(self.held))
