"""A part of a parameter knows the places of its elements in the whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.distributed.tensor import Partial, Placement, Replicate, Shard
from torch.distributed.tensor.placement_types import _StridedShard

from mementum.torch.state import sharding

SHAPES = ((1,), (5,), (12,), (3, 2), (7, 4), (4, 6, 5), (2, 1, 3), (0, 3), (3, 0))
MESHES = ((1,), (2,), (3,), (4,), (2, 2), (2, 3), (3, 2), (1, 4), (2, 2, 2))
KINDS: tuple[Placement, ...] = (Replicate(), Shard(0), Shard(1))


def pieces(whole: Tensor, placement: Placement, count: int) -> list[Tensor]:
    """Cut a tensor as its definition says: `torch.chunk`, with empty ones at the end."""
    if isinstance(placement, _StridedShard):
        outer = chunks(whole, placement.split_factor, placement.dim)
        inner = [chunks(each, count, placement.dim) for each in outer]
        return [torch.cat(each, placement.dim) for each in zip(*inner, strict=True)]
    if isinstance(placement, Shard):
        return chunks(whole, count, placement.dim)
    return [whole] * count


def chunks(whole: Tensor, count: int, dim: int) -> list[Tensor]:
    cut = list(whole.chunk(count, dim))
    empty = whole.narrow(dim, 0, 0)
    # An empty tensor is chunked into as many as were asked for.
    return (cut + [empty] * count)[:count]


def check(
    shape: Sequence[int], mesh: Sequence[int], placed: Sequence[Placement]
) -> int:
    """Compare the numbers at each coordinate of a mesh; return how many there were."""
    whole = torch.arange(math.prod(shape)).view(*shape)
    for coordinate in itertools.product(*map(range, mesh)):
        here = whole
        for count, place, placement in zip(mesh, coordinate, placed, strict=True):
            here = pieces(here, placement, count)[place]
        held = sharding.part(shape, mesh, coordinate, placed)
        assert tuple(map(len, held)) == here.shape
        first, strides = sharding.numbered(shape, held)
        numbers = torch.tensor(first)
        for size, stride in zip(here.shape, strides, strict=True):
            numbers = numbers.unsqueeze(-1) + torch.arange(size) * stride
        assert torch.equal(numbers, here)
    return math.prod(mesh)


@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_the_numbers_of_a_part_are_those_of_its_elements(mesh: tuple[int, ...]) -> None:
    told = 0
    for shape, placed in itertools.product(
        SHAPES, itertools.product(KINDS, repeat=len(mesh))
    ):
        if max(getattr(each, "dim", 0) for each in placed) < len(shape):
            told += check(shape, mesh, placed)
    assert told


@pytest.mark.parametrize("tensor_parallel", [2, 3])
@pytest.mark.parametrize("data_parallel", [2, 3, 4])
def test_rows_sharded_again_by_an_earlier_dimension_are_consecutive(
    data_parallel: int, tensor_parallel: int
) -> None:
    placed = (_StridedShard(0, split_factor=tensor_parallel), Shard(0))
    for rows in range(1, 40):
        mesh = data_parallel, tensor_parallel
        try:
            sharding.refuse_interleaved((rows, 3), mesh, placed)
        except ValueError:
            # An uneven cut of uneven cuts: torch's own pieces are interleaved.
            assert rows % (data_parallel * tensor_parallel)
        else:
            check((rows, 3), mesh, placed)


def test_a_scalar_has_one_number() -> None:
    assert sharding.numbered((), sharding.part((), (2,), (1,), [Replicate()])) == (
        0,
        (),
    )


def test_a_sum_that_is_not_yet_taken_is_no_part() -> None:
    assert sharding.part((3, 2), (2,), (1,), [Partial()]) == [range(3), range(2)]


def test_interleaved_elements_are_refused() -> None:
    placed = [_StridedShard(0, split_factor=2)]
    with pytest.raises(
        ValueError, match=r"elements here that lie between.*state_dtype"
    ):
        sharding.part((8, 2), (2,), (0,), placed)


def test_what_is_interleaved_in_one_process_is_refused_in_all() -> None:
    placed = [_StridedShard(0, split_factor=2), Shard(0)]
    assert sharding.part((13, 2), (3, 2), (0, 0), placed)[0] == range(3)
    with pytest.raises(ValueError, match="lie between"):
        sharding.part((13, 2), (3, 2), (2, 0), placed)
    with pytest.raises(ValueError, match="lie between"):
        sharding.refuse_interleaved((13, 2), (3, 2), placed)
    sharding.refuse_interleaved((12, 2), (3, 2), placed)
