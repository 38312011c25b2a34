"""Residual nets with batch normalisation, and ResNet-8 on handwritten digits."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import batch_norm, conv2d, cross_entropy, linear, pad

from mementum.lab.tasks.networks.mlp_digits import HELD_OUT, fingerprint, images
from mementum.lab.tasks.sampling import batches, normal, uniform
from mementum.lab.tasks.task import Size, Tier, entry, stream

_STEPS = 80
_BATCH = 32
WIDTH = 8
_SIDE = 8


class Norm:
    """Batch normalisation: by the batch in training, by running means else."""

    def __init__(self, channels: int) -> None:
        self.gain = torch.nn.Parameter(torch.ones(channels))
        self.shift = torch.nn.Parameter(torch.zeros(channels))
        self.mean, self.variance = torch.zeros(channels), torch.ones(channels)

    def __call__(self, flow: torch.Tensor, *, training: bool) -> torch.Tensor:
        """Return the flow at mean zero and variance one, then scaled and shifted."""
        return batch_norm(
            flow, self.mean, self.variance, self.gain, self.shift, training=training
        )


class Residual:
    """Three stages of blocks of two convolutions, after He et al. (2016), CIFAR.

    ``6 blocks + 2`` layers. A shortcut that changes shape drops every second pixel and
    fills the new channels with zeros, so shortcuts hold no parameters.
    """

    def __init__(
        self, init: np.random.Generator, *, channels: int, width: int, blocks: int
    ) -> None:
        self.stem = self.filters(init, width, channels)
        self.stem_norm = Norm(width)
        self.blocks: list[tuple[torch.nn.Parameter, Norm, torch.nn.Parameter, Norm]]
        self.blocks = []
        before = width
        for stage in range(3):
            after = width << stage
            for _ in range(blocks):
                one, two = self.filters(init, after, before), self.filters(init, after)
                self.blocks.append((one, Norm(after), two, Norm(after)))
                before = after
        self.outer = uniform(init, 10, before)
        self.outer_bias = uniform(init, 10, fan_in=before)

    @staticmethod
    def filters(
        init: np.random.Generator, out: int, into: int | None = None
    ) -> torch.nn.Parameter:
        """Return filters of 3 by 3 at the scale that keeps the size of a ReLU flow."""
        into = into or out
        return normal(init, out, into, 3, 3, scale=(2 / (9 * into)) ** 0.5)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        found = [self.stem, self.stem_norm.gain, self.stem_norm.shift]
        for one, norm_one, two, norm_two in self.blocks:
            found += [one, norm_one.gain, norm_one.shift]
            found += [two, norm_two.gain, norm_two.shift]
        return [*found, self.outer, self.outer_bias]

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes: running means as well."""
        pairs = [(one, two) for _, one, _, two in self.blocks]
        norms = [self.stem_norm, *(norm for pair in pairs for norm in pair)]
        means = [each for norm in norms for each in (norm.mean, norm.variance)]
        return [*self.parameters(), *means]

    def __call__(self, pictures: torch.Tensor, *, training: bool) -> torch.Tensor:
        """Return the ten scores of pictures (n, channels, height, width)."""
        flow = conv2d(pictures, self.stem, padding=1)
        flow = self.stem_norm(flow, training=training).relu()
        for one, norm_one, two, norm_two in self.blocks:
            stride = 1 if len(one) == flow.shape[1] else 2
            inner = conv2d(flow, one, stride=stride, padding=1)
            inner = norm_one(inner, training=training).relu()
            inner = norm_two(conv2d(inner, two, padding=1), training=training)
            wider = len(one) - flow.shape[1]
            skip = pad(flow[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, wider))
            flow = (inner + skip).relu()
        return linear(flow.mean(dim=(2, 3)), self.outer, self.outer_bias)


def shifted(
    pictures: torch.Tensor, moves: torch.Tensor, reach: int, side: int
) -> torch.Tensor:
    """Return each picture moved by (down, right) pixels of 0 to twice the reach.

    A move of the reach itself is none. What comes in from outside is black.
    """
    framed = pad(pictures, (reach, reach, reach, reach))
    places = torch.arange(side, device=moves.device)
    down, right = moves[:, :1] + places, moves[:, 1:] + places
    rows = torch.arange(len(pictures), device=moves.device)[:, None, None]
    return framed[rows, :, down[:, :, None], right[:, None, :]].movedim(-1, 1)


class ResidualDigits:
    """ResNet-8 of width 8; batches are shifted by up to a pixel each way."""

    def __init__(self, seed: int, steps: int = _STEPS) -> None:
        pixels, digits = images()
        self.pixels, self.digits = pixels.view(-1, 1, _SIDE, _SIDE), digits
        rows = stream(seed, "resnet-digits/split").permutation(len(digits))
        self.held, kept = torch.tensor(rows[:HELD_OUT]), torch.tensor(rows[HELD_OUT:])
        self.shown = kept[:HELD_OUT]
        order = stream(seed, "resnet-digits/order")
        self.batch = kept[batches(order, len(kept), steps, _BATCH)]
        moves = stream(seed, "resnet-digits/moves").integers(0, 3, (steps, _BATCH, 2))
        self.moves = torch.from_numpy(moves)
        init = stream(seed, "resnet-digits/init")
        self.net = Residual(init, channels=1, width=WIDTH, blocks=1)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return self.net.parameters()

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the shifted batch of this step."""
        rows = self.batch[step]
        pictures = shifted(self.pixels[rows], self.moves[step], 1, _SIDE)
        return cross_entropy(self.net(pictures, training=True), self.digits[rows])

    def entropy(self, rows: torch.Tensor) -> float:
        """Return the mean cross-entropy of these images, unshifted, in nats."""
        scores = self.net(self.pixels[rows], training=False)
        return float(cross_entropy(scores, self.digits[rows]))

    def evaluate(self) -> tuple[float, float]:
        """Return the cross-entropy on 360 training images and on 360 held out."""
        return self.entropy(self.shown), self.entropy(self.held)


RESIDUAL = entry(
    "resnet-digits",
    "ResNet-8 with batch normalisation on handwritten digits",
    "validation cross-entropy, nats",
    start=ResidualDigits,
    data=fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 10, 0.5),
        Tier.SMOKE: Size(10, 2, 0.1),
        Tier.STANDARD: Size(800, 20, 5.0),
    },
    limit=1e3,
    # Too noisy to rank: 360 images are held out.
    named_only=(Tier.QUICK, Tier.STANDARD),
)
