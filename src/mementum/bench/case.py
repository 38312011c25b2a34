"""What is stepped: lists of parameters as models have them."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

_Shape = tuple[int, ...]


class Layout(enum.Enum):
    """How a parameter lies in memory; its gradient is always dense, row by row.

    Row by row too, as every second column of a matrix, or column by column.
    """

    DENSE = "dense"
    STRIDED = "strided"
    TRANSPOSED = "transposed"


@dataclass(frozen=True, slots=True)
class Case:
    """A named list of parameters, by their shapes and how they lie in memory."""

    name: str
    summary: str
    shapes: tuple[_Shape, ...]
    layout: Layout = Layout.DENSE

    @property
    def elements(self) -> int:
        """Return how many numbers the parameters hold together."""
        return sum(math.prod(shape) for shape in self.shapes)

    def gradients(self) -> list[Tensor]:
        """Return a gradient for each parameter, the same at every call."""
        source = torch.Generator().manual_seed(1)
        return [_drawn(shape, source) / 100 for shape in self.shapes]

    def parameters(
        self, gradients: list[Tensor], layout: Layout | None = None
    ) -> list[Parameter]:
        """Return new parameters with these gradients, which several sets may share."""
        layout = layout or self.layout
        source = torch.Generator().manual_seed(2)
        params = []
        for shape, gradient in zip(self.shapes, gradients, strict=True):
            values = _drawn(shape, source)
            params.append(Parameter(_laid(values, layout)))
            params[-1].grad = gradient
        return params


def _drawn(shape: Sequence[int], source: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=source, dtype=torch.float32, device="cpu")


def _laid(values: Tensor, layout: Layout) -> Tensor:
    match layout:
        case Layout.DENSE:
            return values
        case Layout.STRIDED:
            return torch.stack([values, torch.zeros_like(values)], dim=-1)[..., 0]
        case Layout.TRANSPOSED:
            return values.t().contiguous().t()


def _resnet18() -> Iterator[_Shape]:
    """Yield the shapes of a ResNet-18 for 1,000 classes (arXiv:1512.03385)."""
    yield from _convolution(3, 64, 7)
    before = 64
    for width in (64, 128, 256, 512):
        for block in range(2):
            yield from _convolution(before, width, 3)
            yield from _convolution(width, width, 3)
            if block == 0 and width != before:
                yield from _convolution(before, width, 1)
            before = width
    yield (1_000, 512)
    yield (1_000,)


def _convolution(before: int, after: int, size: int) -> Iterator[_Shape]:
    """Yield a convolution's weight, and scale and shift of its normalisation."""
    yield (after, before, size, size)
    yield (after,)
    yield (after,)


def _transformer(layers: int = 6, width: int = 512, inner: int = 2_048) -> list[_Shape]:
    """Return the shapes of an encoder at the size of arXiv:1706.03762's base model."""
    layer: list[_Shape] = [
        (3 * width, width),
        (3 * width,),
        (width, width),
        (width,),
        (inner, width),
        (inner,),
        (width, inner),
        (width,),
        *[(width,)] * 4,
    ]
    return layer * layers


_SQUARE = ((2_048, 2_048),)

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("16m", "one matrix", ((4_096, 4_096),)),
        Case("300x1000", "300 vectors of 1,000", ((1_000,),) * 300),
        Case("60x1000", "60 vectors of 1,000", ((1_000,),) * 60),
        Case("resnet18", "a ResNet-18, 62 tensors", tuple(_resnet18())),
        Case("transformer", "a 6-layer encoder, 72 tensors", tuple(_transformer())),
        Case("strided", "every second column of a matrix", _SQUARE, Layout.STRIDED),
        Case("transposed", "a transposed matrix", _SQUARE, Layout.TRANSPOSED),
    )
}
