"""What is trained: models of the usual shapes, each fitted to one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    LayerNorm,
    Linear,
    MaxPool2d,
    Module,
    Parameter,
    ReLU,
    Sequential,
    TransformerEncoderLayer,
)
from torch.nn.functional import layer_norm, mse_loss

_Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Training:
    """A named model, and the shapes of the batch that it is fitted to."""

    name: str
    summary: str
    model: Callable[[], Module]
    inputs: _Shape
    targets: _Shape

    @property
    def elements(self) -> int:
        """Return how many numbers are trained."""
        with torch.device("meta"):
            return sum(param.numel() for param in trained(self.model()))

    def begin(self) -> tuple[list[Parameter], Callable[[], Tensor]]:
        """Return a new model's trained parameters, and its loss on the batch.

        The model and the batch begin the same at every call.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = self.model()
            inputs, targets = torch.randn(self.inputs), torch.randn(self.targets)

        def loss() -> Tensor:
            error: Tensor = mse_loss(model(inputs), targets)
            return error

        return trained(model), loss


def trained(model: Module) -> list[Parameter]:
    """Return the parameters of a model that are not frozen."""
    return [param for param in model.parameters() if param.requires_grad]


def _perceptron() -> Module:
    return Sequential(
        Linear(1_024, 2_048), ReLU(), Linear(2_048, 2_048), ReLU(), Linear(2_048, 1_024)
    )


def _convolutions() -> Module:
    """Return a VGG-16 (arXiv:1409.1556) with normalisation, for 32 by 32 pixels."""
    layers: list[Module] = []
    before = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers.append(Conv2d(before, width, 3, padding=1, bias=False))
            layers += [BatchNorm2d(width), ReLU()]
            before = width
        layers.append(MaxPool2d(2))
    return Sequential(*layers, Flatten(), Linear(before, 10))


def _layer() -> Module:
    return TransformerEncoderLayer(1_024, 16, 4_096, dropout=0.0, batch_first=True)


class _Adapted(Module):
    """A frozen layer and the low-rank matrices beside it (arXiv:2106.09685)."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.frozen = Linear(width, width).requires_grad_(requires_grad=False)
        self.down = Linear(width, rank, bias=False)
        self.up = Linear(rank, width, bias=False)
        torch.nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        normal = layer_norm(x, x.shape[-1:])
        residual: Tensor = x + self.frozen(normal) + self.up(self.down(normal))
        return residual


def _adapters() -> Module:
    return Sequential(*(_Adapted(256, 8) for _ in range(64)))


def _vectors() -> Module:
    return Sequential(*(LayerNorm(1_000, bias=False) for _ in range(300)))


TRAININGS: dict[str, Training] = {
    training.name: training
    for training in (
        Training(
            "perceptron",
            "three linear layers, 6 tensors",
            _perceptron,
            (128, 1_024),
            (128, 1_024),
        ),
        Training(
            "convolutions",
            "a VGG-16 on small images, 41 tensors",
            _convolutions,
            (4, 3, 32, 32),
            (4, 10),
        ),
        Training(
            "layer",
            "one transformer layer, 12 tensors",
            _layer,
            (4, 32, 1_024),
            (4, 32, 1_024),
        ),
        Training(
            "adapters",
            "128 low-rank matrices of 2,048",
            _adapters,
            (32, 256),
            (32, 256),
        ),
        Training("vectors", "300 vectors of 1,000", _vectors, (8, 1_000), (8, 1_000)),
    )
}
