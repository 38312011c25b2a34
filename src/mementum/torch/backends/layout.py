"""Where the elements of a parameter and of its moments lie in memory, for kernels.

A parameter, its gradient, its moments and the numbers that key its rounding noise are
walked together; what lies alike is walked as one flat array.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mementum.torch.backends.bucket import Bucket
from mementum.torch.groups.shared_memory import repeats
from mementum.torch.state import rounding
from mementum.torch.state.moments import MOMENTS

# How much it costs to walk each operand against its strides: p, g, m, v, k, numbers.
# A gradient is only read, and a number is not in memory.
_COSTS = (2, 1, 2, 2, 2, 0)


def described(bucket: Bucket, i: int) -> tuple[int, ...]:
    """Return rank, sizes and strides of a parameter; nothing if it is flat.

    The strides are those of p, g, m, v, k and of the elements' numbers. Errors:
    `RuntimeError` for what is written and has two elements at one place.
    """
    shape, strides = _strides(bucket, i)
    refuse_repeats(bucket, i)
    return _described(shape, strides, blocked=bool(bucket.scales))


def refuse_repeats(bucket: Bucket, i: int) -> None:
    """Refuse what is written, and has two elements at one place in memory."""
    p, _, *moments = (row[i] for row in bucket.rows())
    for written in (p, *moments):
        if not written.is_contiguous() and repeats(written):
            raise RuntimeError(
                f"a parameter of shape {tuple(p.shape)}, or a moment of it, has "
                "several elements at one place in memory; replace it by its clone()."
            )


def refuse_strided_codes(bucket: Bucket) -> None:
    """Refuse float8 moments that do not lie row by row."""
    for name in MOMENTS[: len(bucket.scales)]:
        for i in range(len(bucket.params)):
            if not all(map(Tensor.is_contiguous, bucket.stored(i, name))):
                raise RuntimeError(
                    "a parameter's float8 moments are no longer contiguous, as their "
                    "codes and scales must be; make them so with contiguous()."
                )


def is_dense(tensor: Tensor) -> bool:
    """Whether elements follow one another in memory, in any order of dimensions."""
    if tensor.is_contiguous():
        return True
    reach = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != reach:
            return False
        reach *= size
    return True


def lies_alike(one: Tensor, other: Tensor) -> bool:
    """Whether tensors of one shape have their elements in the same order in memory."""
    dims = zip(one.shape, one.stride(), other.stride(), strict=True)
    return all(a == b for size, a, b in dims if size != 1)


def merged(
    sizes: Sequence[int], *strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Return sizes of dimensions and the last strides, joined where all allow it."""
    by_dim = zip(sizes, zip(*strides, strict=True), strict=True)
    dims = _merged([_Dim(size, steps) for size, steps in by_dim if size != 1])
    return tuple((dim.size, dim.steps[-1]) for dim in dims)


def _strides(
    bucket: Bucket, i: int
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Return a parameter's shape, and the strides of its operands and numbers."""
    p, g, m, v, *k = (row[i] for row in bucket.rows())
    moments = (m, v, k[0] if k else v)
    if bucket.scales:
        moments = (p, p, p)
    numbers = p.stride()
    if bucket.noisy:
        own = bucket.numberings[i] if bucket.numberings else rounding.whole(p.shape)
        numbers = own.strides
    operands = (p, g, *moments)
    return tuple(p.shape), (*(x.stride() for x in operands), numbers)


class _Dim(NamedTuple):
    """A dimension of a layout: its size, and each operand's stride along it."""

    size: int
    steps: tuple[int, ...]


@functools.lru_cache(maxsize=4096)
def _described(
    shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...], *, blocked: bool
) -> tuple[int, ...]:
    """Return rank, sizes and strides, joined where all operands allow it."""
    dims = [
        _Dim(size, tuple(stride[d] for stride in strides))
        for d, size in enumerate(shape)
        if size != 1 or (blocked and d == 0)
    ]
    if blocked:
        dims = [dims[0], *_merged(dims[1:])]
        dense = rounding.whole(torch.Size(dim.size for dim in dims)).strides
        if all(dim.steps == (step,) * 6 for dim, step in zip(dims, dense, strict=True)):
            return ()
    else:
        dims = _merged(sorted(dims, key=lambda dim: dim.steps[0], reverse=True))
        if not dims or (len(dims) == 1 and set(dims[0].steps) == {1}):
            return ()
        dims = _fast_last(dims)
    by_operand = zip(*(dim.steps for dim in dims), strict=True)
    sizes = (dim.size for dim in dims)
    return (len(dims), *sizes, *(step for each in by_operand for step in each))


def _merged(dims: list[_Dim]) -> list[_Dim]:
    """Join neighbours that every operand steps through as one."""
    merged: list[_Dim] = []
    for dim in dims:
        if merged and merged[-1].steps == tuple(step * dim.size for step in dim.steps):
            merged[-1] = _Dim(merged[-1].size * dim.size, dim.steps)
        else:
            merged.append(dim)
    return merged


def _fast_last(dims: list[_Dim]) -> list[_Dim]:
    """Put that dimension last along which most operands are fastest."""
    votes = dict.fromkeys(dims, 0)
    for operand, weight in enumerate(_COSTS):
        votes[min(dims, key=lambda dim: dim.steps[operand])] += weight
    return sorted(dims, key=lambda dim: votes[dim])
