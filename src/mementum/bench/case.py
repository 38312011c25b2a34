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

    def gradients(
        self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> list[Tensor]:
        """Return a gradient for each parameter, the same at every call."""
        source = torch.Generator(device).manual_seed(1)
        return [_drawn(shape, source, dtype).div_(100) for shape in self.shapes]

    def parameters(
        self, gradients: list[Tensor], layout: Layout | None = None
    ) -> list[Parameter]:
        """Return new parameters with these gradients, which several sets may share.

        They have the gradients' dtype, and lie on their device.
        """
        layout = layout or self.layout
        source = torch.Generator(gradients[0].device).manual_seed(2)
        params = []
        for shape, gradient in zip(self.shapes, gradients, strict=True):
            values = _drawn(shape, source, gradient.dtype)
            params.append(Parameter(_laid(values, layout)))
            params[-1].grad = gradient
        return params


def _drawn(shape: Sequence[int], source: torch.Generator, dtype: torch.dtype) -> Tensor:
    drawn = torch.randn(
        shape, generator=source, dtype=torch.float32, device=source.device
    )
    return drawn.to(dtype)


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


def _llama(width: int = 2_048, inner: int = 5_632, words: int = 32_000) -> list[_Shape]:
    """Return the shapes of a decoder of 1.1 billion numbers (arXiv:2401.02385)."""
    layer: list[_Shape] = [
        *[(width, width)] * 2,
        *[(width // 8, width)] * 2,
        *[(inner, width)] * 2,
        (width, inner),
        *[(width,)] * 2,
    ]
    return [(words, width), *layer * 22, (width,), (words, width)]


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

# What is stepped on a GPU: long enough to fill one, and short, and of odd sizes.
ON_GPU: dict[str, Case] = {
    case.name: case
    for case in (
        Case("256m", "one matrix", ((16_384, 16_384),)),
        Case("llama", "a decoder of 1.1 billion, 201 tensors", tuple(_llama())),
        Case("1000x1m", "1,000 matrices of a million", ((1_024, 1_024),) * 1_000),
        CASES["300x1000"],
        Case("odd", "50 matrices of odd sizes", ((4_097, 1_001),) * 50),
        Case("tiny", "a small matrix and a vector", ((64, 64), (5,))),
    )
}
