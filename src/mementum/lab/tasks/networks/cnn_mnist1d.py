"""A small convolutional net on MNIST-1D, generated here and never downloaded."""

from __future__ import annotations

import functools
import random

import numpy as np
import torch
from torch.nn.functional import conv1d, cross_entropy, linear

from mementum.lab.tasks.sampling import batches, uniform
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 250
_BATCH = 32
_CHANNELS = 25


@functools.cache
def _signals() -> dict[str, torch.Tensor]:
    """Return 4,000 signals of 40 points to train on and 1,000 held out, with digits.

    The generator seeds and draws from the global states of Python and NumPy, which are
    put back afterwards.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    kept = random.getstate(), np.random.get_state()  # noqa: NPY002 - its generator
    try:
        made = make_dataset(get_dataset_args())
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
    return {
        "x": torch.tensor(made["x"], dtype=torch.float32)[:, None],
        "y": torch.tensor(made["y"], dtype=torch.int64),
        "x_test": torch.tensor(made["x_test"], dtype=torch.float32)[:, None],
        "y_test": torch.tensor(made["y_test"], dtype=torch.int64),
    }


class _Signals:
    """Three convolutions of 25 channels and a linear map."""

    def __init__(self, seed: int, steps: int = _STEPS) -> None:
        self.data = _signals()
        order = stream(seed, "cnn-mnist1d/order")
        self.batch = batches(order, len(self.data["y"]), steps, _BATCH)
        init = stream(seed, "cnn-mnist1d/init")
        widths = [(1, 5), (_CHANNELS, 3), (_CHANNELS, 3)]
        self.filters = [
            (
                uniform(init, _CHANNELS, inputs, reach, fan_in=inputs * reach),
                uniform(init, _CHANNELS, fan_in=inputs * reach),
            )
            for inputs, reach in widths
        ]
        self.outer = uniform(init, 10, 5 * _CHANNELS)
        self.outer_bias = uniform(init, 10, fan_in=5 * _CHANNELS)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        inside = [tensor for pair in self.filters for tensor in pair]
        return [*inside, self.outer, self.outer_bias]

    def scores(self, signals: torch.Tensor) -> torch.Tensor:
        """Return the ten scores of each signal."""
        flow = signals
        for weight, bias in self.filters:
            flow = conv1d(flow, weight, bias, stride=2, padding=1).relu()
        return linear(flow.flatten(1), self.outer, self.outer_bias)

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        rows = self.batch[step]
        return cross_entropy(self.scores(self.data["x"][rows]), self.data["y"][rows])

    def evaluate(self) -> tuple[float, float]:
        """Return the cross-entropy on 1,000 training signals and on those held out."""
        shown, digits = self.data["x"][:1000], self.data["y"][:1000]
        train = float(cross_entropy(self.scores(shown), digits))
        held = self.scores(self.data["x_test"])
        return train, float(cross_entropy(held, self.data["y_test"]))


def _fingerprint() -> str:
    """Return the sha256 of the data."""
    return digest(*_signals().values())


SIGNALS = entry(
    "cnn-mnist1d",
    "Convolutional net on MNIST-1D",
    "validation cross-entropy, nats",
    start=_Signals,
    data=_fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 10, 0.45),
        Tier.SMOKE: Size(40, 2, 0.08),
        Tier.STANDARD: Size(2500, 20, 4.0),
    },
    limit=1e3,
    # Too noisy to rank.
    named_only=(Tier.QUICK,),
    version=2,
)
