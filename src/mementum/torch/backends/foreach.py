"""The kernel in torch's multi-tensor operations: each runs over a whole bucket.

The operations and their order are the loop's, so both give the same bits. Only
operations that round once are used: a fused multiply-add would round differently
in the vector loop and in its remainder.
p parameter, g gradient, m momentum, v square, k peak, c the twelve numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from mementum.family.rule import Coefficients, plainly
from mementum.torch.backends import loop
from mementum.torch.backends.bucket import Bucket
from mementum.torch.backends.guard import TensorGuard
from mementum.torch.backends.low_precision import joined

name = "foreach"
device: str | None = None
guard = TensorGuard
ready = loop.ready
square_sums = loop.square_sums
_Tensors = list[Tensor]

# What it costs where memory is what a step waits for: AdamW's fourteen operations.
COST = "a step of AdamW in float32 moves 140 bytes an element, where a kernel moves 28"

# Elements: seven float32 arrays of this many fill a megabyte of second-level cache.
_CACHED = 32_768


def refuses(flags: Mapping[str, Any], param: Tensor) -> str | None:
    """Return why parameters like this one cannot run here, or None if they can."""
    if flags["fused"]:
        return "fused=True asks for another path"
    if flags["differentiable"]:
        return "differentiable is True, and multi-tensor operations have no derivative"
    if flags["foreach"] is False:
        return "foreach=False asks for another path"
    return None


def update(c: Coefficients, bucket: Bucket) -> None:
    """Take one step for all parameters of the bucket."""
    with loop.undone_where_skipped(bucket):
        if bucket.noisy:
            for wide, params in joined(bucket):
                each = (_by_block(number, params, bucket.dtype) for number in c)
                _update(Coefficients(*each), wide)
            return
        for piece, owners in _pieces(bucket):
            each = (_numbers(number, owners, bucket.dtype) for number in c)
            _update(Coefficients(*each), piece)


def _update(c: Coefficients, bucket: Bucket) -> None:
    p = _cast(bucket.params, bucket.dtype)
    g = _cast(bucket.grads, bucket.dtype)
    m, v = bucket.momentum, bucket.square
    g = g if plainly(c.scale, 1) else _multiplied(g, c.scale)
    if not plainly(c.pull, 0):
        g = _sum(_multiplied(p, c.pull), g)
    _approach(m, g, c.take_m)
    sample = _weighted(g, c.square_g, m, c.square_m)
    sample = _multiplied(sample, sample)
    if not plainly(c.eps_in, 0):
        torch._foreach_add_(sample, c.eps_in)
    _approach(v, sample, c.take_v)
    largest = v
    if bucket.peak:
        largest = bucket.peak
        torch._foreach_maximum_(largest, v)
    del sample
    step = _weighted(g, c.step_g, m, c.step_m)
    step = list(torch._foreach_div(step, _divisor(largest, c)))
    if not plainly(c.shrink, 0):
        step = _sum(_multiplied(p, c.shrink), step)
    torch._foreach_sub_(p, step)
    if p is not bucket.params:
        torch._foreach_copy_(bucket.params, p)


def _pieces(bucket: Bucket) -> Iterator[tuple[Bucket, list[int]]]:
    """Yield parts of a bucket that fit a processor's cache, and whose each tensor is.

    The operations pass over their tensors a dozen times; from the cache that costs a
    third of what it costs from memory. An accelerator gets the bucket whole.
    """
    if bucket.params[0].device.type != "cpu":
        yield bucket, list(range(len(bucket.params)))
        return
    owners: list[int] = []
    piece, elements = Bucket(bucket.step), 0
    for i, row in enumerate(zip(*bucket.rows(), strict=True)):
        for part in _split(row):
            if elements + part[0].numel() > _CACHED and owners:
                yield piece, owners
                piece, owners, elements = Bucket(bucket.step), [], 0
            for tensors, tensor in zip(
                piece.rows(peak=bool(bucket.peak)), part, strict=True
            ):
                tensors.append(tensor)
            owners.append(i)
            elements += part[0].numel()
    yield piece, owners


def _split(row: tuple[Tensor, ...]) -> Iterable[tuple[Tensor, ...]]:
    """Cut a parameter and its moments into flat parts, where they lie alike."""
    if row[0].numel() <= _CACHED or not all(tensor.is_contiguous() for tensor in row):
        return (row,)
    return zip(*(torch.split(tensor.view(-1), _CACHED) for tensor in row), strict=True)


def _approach(mean: _Tensors, sample: _Tensors, weight: Any) -> None:
    """Take a sample into a running mean, in place."""
    difference = list(torch._foreach_sub(sample, mean))
    torch._foreach_mul_(difference, weight)
    torch._foreach_add_(mean, difference)


def _divisor(largest: _Tensors, c: Coefficients) -> _Tensors:
    if not plainly(c.eps_root, 0):
        largest = list(torch._foreach_add(largest, c.eps_root))
    root = _roots(largest)
    if not plainly(c.eps_out, 0):
        torch._foreach_add_(root, c.eps_out)
    return root


def _roots(tensors: _Tensors) -> _Tensors:
    if tensors[0].device.type == "cpu":
        return [loop.sqrt(tensor) for tensor in tensors]
    return list(torch._foreach_sqrt(tensors))


def _weighted(g: _Tensors, a: Any, m: _Tensors, b: Any) -> _Tensors:
    """Return ``a g + b m``, where a factor of zero removes its term."""
    if plainly(a, 0):
        return m if plainly(b, 1) else _multiplied(m, b)
    if plainly(b, 0):
        return g if plainly(a, 1) else _multiplied(g, a)
    return _sum(_multiplied(m, b), g if plainly(a, 1) else _multiplied(g, a))


def _multiplied(tensors: _Tensors, number: Any) -> _Tensors:
    return list(torch._foreach_mul(tensors, number))


def _sum(own: _Tensors, other: _Tensors) -> _Tensors:
    """Add `other` to tensors that are this step's own, in place."""
    torch._foreach_add_(own, other)
    return own


def _cast(tensors: _Tensors, dtype: torch.dtype) -> _Tensors:
    if tensors[0].dtype == dtype:
        return tensors
    return [tensor.to(dtype) for tensor in tensors]


def _numbers(number: Any, owners: list[int], dtype: torch.dtype) -> Any:
    """Return a plain number, or a list with one tensor for each of a piece."""
    if not isinstance(number, Tensor):
        return number
    number = number.to(dtype)
    if not number.dim():
        return [number] * len(owners)
    each = number.unbind()
    return [each[i] for i in owners]


def _by_block(number: Any, params: Tensor, dtype: torch.dtype) -> Any:
    """Return a plain number, or a list with one tensor for the blocks of a table."""
    if not isinstance(number, Tensor):
        return number
    number = number.to(dtype)
    if not number.dim():
        return [number]
    return [number.index_select(0, params).unsqueeze(1)]
