"""A bucket's parameters in pieces: tables of blocks that tensor operations take whole.

A block is a row of a table: consecutive elements of one parameter, which are numbered
on from its first. Of low moments it is a float8 block, or as long. So a step takes as
many operations for many parameters as for one. The temporaries of a piece take 30 to 75
bytes for an element of its table: on an accelerator at most 0.3 GB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mementum.family.rounding import BLOCK
from mementum.torch.backends.bucket import Bucket
from mementum.torch.state.rounding import Numbering, whole

# Elements of a piece: on an accelerator enough to hide what launches cost, and on a
# CPU what stays in a second-level cache; of one large parameter as many for each
# thread. torch starts threads from this many elements on, and small parameters are not
# worth it.
_LAUNCHED, _CACHED = 1 << 22, 1 << 15
# A common divisor of the parameters' sizes from which it is worth a table of its width.
_WIDE = 32


class Part(NamedTuple):
    """Consecutive elements of a parameter, in row-major order, as rows of blocks.

    They are those from `start` to `stop`, and their blocks' scales those from `scale`
    on; `blocks` of at most `BLOCK` elements are in each row of `length` elements.
    """

    param: int
    start: int
    stop: int
    length: int
    scale: int

    @property
    def blocks(self) -> int:
        """Return how many blocks the part has."""
        return (self.stop - self.start) // self.length * -(-self.length // BLOCK)


class Table(NamedTuple):
    """The blocks of a piece, in a step.

    The parameter of each, the number of its first element, and the `columns` of its
    elements, [block or 1, element]. Where blocks are not even, `places` are those of
    the table's elements among all, an element again where a block has ended, and `back`
    those of all in the table.
    """

    param: Tensor
    number: Tensor
    columns: Tensor
    places: Tensor | None
    back: Tensor | None

    def of(self, flat: Tensor) -> Tensor:
        """Return elements in the table."""
        if self.places is None:
            return flat.view(-1, self.columns.shape[1])
        return flat.index_select(0, self.places.view(-1)).view(self.places.shape)

    def flat(self, table: Tensor) -> Tensor:
        """Return the elements of the table once each, in order."""
        flat = table.reshape(-1)
        return flat if self.back is None else flat.index_select(0, self.back)


class Piece(NamedTuple):
    """Parts that are stepped together, and what makes the table of their blocks.

    `strips` are runs of rows that are numbered on, int32, [fact, strip]: the parameter,
    the first element in the piece, the length of a row, its blocks, the first block and
    how many there are. `numbers` are those of their first elements, in int64.
    """

    parts: list[Part]
    strips: Tensor
    numbers: Tensor
    width: int
    blocks: int
    elements: int
    even: bool
    crosses: bool

    def table(self) -> Table:
        """Return the table of the blocks, computed where the parameters are.

        Nothing is read back: all sizes are known.
        """
        facts, number = self.strips, self.numbers
        # One strip's facts are broadcast.
        if self.blocks > facts.shape[1] > 1:
            strip = torch.repeat_interleave(facts[5], output_size=self.blocks)
            facts, number = facts.index_select(1, strip), number.index_select(0, strip)
        param, start, length, per_row, first, _ = facts.unbind()
        place = self._count(self.blocks) - first
        row = torch.div(place, per_row, rounding_mode="floor")
        column = (place - row * per_row) * self.width
        offset = row * length + column
        number, columns = number + offset, self._count(self.width).unsqueeze(0)
        if self.even:
            return Table(param, number, columns, None, None)
        size = (length - column).clamp(max=self.width)
        columns = torch.minimum(columns, size.unsqueeze(1) - 1)
        start = start + offset
        shift = self._count(self.blocks) * self.width - start
        back = shift.repeat_interleave(size, output_size=self.elements)
        places = start.unsqueeze(1) + columns
        return Table(param, number, columns, places, back + self._count(self.elements))

    def _count(self, stop: int) -> Tensor:
        return torch.arange(stop, dtype=torch.int32, device=self.strips.device)


def pieces(bucket: Bucket) -> list[Piece]:
    """Return the pieces of a bucket, found out once: they follow from its shapes."""
    if bucket.plan is None:
        bucket.plan = [_piece(bucket, parts) for parts in _packed(bucket)]
    found: list[Piece] = bucket.plan
    return found


def _most(device: torch.device) -> tuple[int, int]:
    """Return how many elements a piece has at most: of several parameters, and of one.

    Both are whole blocks.
    """
    if device.type != "cpu":
        return _LAUNCHED, _LAUNCHED
    return _CACHED, _CACHED * torch.get_num_threads()


def _packed(bucket: Bucket) -> Iterator[list[Part]]:
    """Yield parts whose table is bounded, those with short blocks apart from others."""
    most, alone = _most(bucket.params[0].device)
    parts = [part for i in range(len(bucket.params)) for part in _cut(bucket, i, alone)]
    parts.sort(key=lambda part: min(part.length, BLOCK))
    packed: list[Part] = []
    blocks = 0
    for part in parts:
        if packed and (blocks + part.blocks) * min(part.length, BLOCK) > most:
            yield packed
            packed, blocks = [], 0
        packed.append(part)
        blocks += part.blocks
    yield packed


def _cut(bucket: Bucket, i: int, most: int) -> Iterator[Part]:
    """Yield the parts of a parameter: at most so many elements each, or a row.

    A row is what lies at an index of dimension 0, if float8 counts its blocks from
    there or the elements do not follow one another in memory. Only of the latter is
    none cut.
    """
    shape = bucket.params[i].shape
    dense = all(row[i].is_contiguous() for row in bucket.rows())
    size = shape.numel()
    length = size // shape[0] if bucket.scales or not dense else size
    run = length if bucket.scales else _consecutive(shape, _numbering(bucket, i))
    per_row = -(-length // BLOCK)
    if dense and length > most:
        for start in range(0, size, length):
            for at in range(0, length, most):
                stop = min(at + most, length)
                scale = start // length * per_row + at // BLOCK
                yield Part(i, start + at, start + stop, min(stop - at, run), scale)
        return
    step = max(most // (per_row * min(length, BLOCK)), 1) * length
    for start in range(0, size, step):
        stop = min(start + step, size)
        yield Part(i, start, stop, min(stop - start, run), start // length * per_row)


def _piece(bucket: Bucket, parts: list[Part]) -> Piece:
    """Return the piece of these parts."""
    strips, before = [], 0
    for part in parts:
        first, numbers = _runs(bucket, part)
        sizes = np.diff(first, append=part.stop)
        lengths = np.minimum(sizes, part.length) if bucket.scales else sizes
        own = np.full_like(first, part.param)
        strips.append((own, before + first - part.start, lengths, sizes, numbers))
        before += part.stop - part.start
    param, start, length, size, number = map(np.concatenate, zip(*strips, strict=True))
    width = _width(bucket, length)
    per_row = -(-length // width)
    blocks = size // length * per_row
    facts = (param, start, length, per_row, np.cumsum(blocks) - blocks, blocks)
    device = bucket.params[0].device
    return Piece(
        parts,
        torch.from_numpy(np.stack(facts).astype(np.int32)).to(device),
        torch.from_numpy(number).to(device),
        width,
        int(blocks.sum()),
        before,
        even=not (length % width).any(),
        crosses=bool(((number + size - 1) >> 32 != number >> 32).any()),
    )


def _width(bucket: Bucket, lengths: NDArray[np.int64]) -> int:
    """Return how many elements the blocks of a table have at most."""
    longest = int(lengths.max())
    if not bucket.scales:
        common = math.gcd(*lengths.tolist())
        if common >= _WIDE or common == longest:
            return common
    return min(longest, BLOCK)


def _runs(bucket: Bucket, part: Part) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where runs of consecutive numbers begin in a part, and their numbers."""
    shape = bucket.params[part.param].shape
    numbering = _numbering(bucket, part.param)
    length = _consecutive(shape, numbering)
    first = np.arange(part.start // length, -(-part.stop // length)) * length
    first[0] = part.start
    number, left = np.full_like(first, numbering.first), first
    for size, stride in zip(reversed(shape), reversed(numbering.strides), strict=True):
        number += left % size * stride
        left = left // size
    return first, number


def _numbering(bucket: Bucket, i: int) -> Numbering:
    return bucket.numberings[i] if bucket.numberings else whole(bucket.params[i].shape)


def _consecutive(shape: torch.Size, numbering: Numbering) -> int:
    """Return how many elements, from each multiple of it on, are numbered on."""
    length = 1
    for size, stride in zip(reversed(shape), reversed(numbering.strides), strict=True):
        if size != 1 and stride != length:
            break
        length *= size
    return length
