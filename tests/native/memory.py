"""Tensors laid out in memory in every way there is, among bytes nobody may touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Shape = tuple[int, ...]

# Elements left free before and after a tensor, at least.
MARGIN = 16


class Layout(NamedTuple):
    """Where a tensor's elements lie: strides, and elements before the first."""

    strides: Shape
    offset: int


@dataclass(frozen=True, slots=True)
class Plot:
    """A tensor in the middle of a piece of memory, and that memory as it was."""

    tensor: Tensor
    ground: Tensor
    before: Tensor
    owned: Tensor

    def others_untouched(self) -> bool:
        """Whether every byte that is not the tensor's holds what it held."""
        changed = self.ground != self.before
        return not bool((changed & ~self.owned).any())

    def untouched(self) -> bool:
        """Whether no byte changed, the tensor's included."""
        return torch.equal(self.ground, self.before)


def plot(values: Tensor, layout: Layout, rng: np.random.Generator) -> Plot:
    """Lay out values as told, among bytes drawn at random."""
    shape, width = tuple(values.shape), values.element_size()
    elements = layout.offset + MARGIN + reach(shape, layout.strides) + 1
    size = elements * width
    drawn = rng.integers(0, 256, size, dtype=np.uint8)
    # Some of the free bytes make ordinary numbers, some NaN, and some are zero.
    drawn[rng.random(size) < 0.1] = 0
    ground = torch.from_numpy(drawn)
    tensor = ground.view(values.dtype).as_strided(shape, layout.strides, layout.offset)
    seen_once(tensor, layout).copy_(seen_once(values, layout))
    # The map of owned bytes is the same layout over bytes, one dimension more.
    owned = torch.zeros(size, dtype=torch.bool)
    if values.numel():
        owned.as_strided(
            (*shape, width),
            (*(stride * width for stride in layout.strides), 1),
            layout.offset * width,
        ).fill_(True)
    return Plot(tensor, ground, ground.clone(), owned)


def seen_once(tensor: Tensor, layout: Layout) -> Tensor:
    """Return the part of a tensor that a layout does not repeat."""
    for d, stride in enumerate(layout.strides):
        if stride == 0:
            tensor = tensor.narrow(d, 0, min(tensor.shape[d], 1))
    return tensor


def reach(shape: Shape, strides: Shape) -> int:
    """Return the distance from a tensor's first element to its last."""
    if 0 in shape:
        return 0
    return sum((size - 1) * step for size, step in zip(shape, strides, strict=True))


def draw(shape: Shape, rng: np.random.Generator, *, repeats: bool = False) -> Layout:
    """Draw a layout in which no two elements meet, unless it `repeats`.

    A repeating layout has dimensions of stride 0, as a gradient that was expanded.
    """
    order = _order(len(shape), rng)
    gaps = rng.random() < 0.5
    strides = [0] * len(shape)
    here = int(rng.integers(1, 4)) if gaps and rng.random() < 0.5 else 1
    for d in reversed(order):
        # A dimension of one element may claim any stride.
        strides[d] = here if shape[d] != 1 else int(rng.choice([here, 1, 7, 1000]))
        extent = here * max(shape[d], 1)
        if gaps:
            extent = (extent + int(rng.integers(0, 4))) * int(rng.integers(1, 3))
        here = extent
    if repeats:
        strides = [0 if rng.random() < 0.5 else stride for stride in strides]
    return Layout(tuple(strides), MARGIN)


def _order(rank: int, rng: np.random.Generator) -> list[int]:
    """Draw which dimension is outermost, and which next: often the usual ones."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return list(rng.permutation(rank))
    if kind == 1 and rank > 2:
        return [0, *range(2, rank), 1]  # channels last
    return list(range(rank))


def dense(shape: Shape) -> Layout:
    """Return the layout that torch gives a new tensor."""
    strides, here = [], 1
    for size in reversed(shape):
        strides.append(here)
        here *= max(size, 1)
    return Layout(tuple(reversed(strides)), MARGIN)
