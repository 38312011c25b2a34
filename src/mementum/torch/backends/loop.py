"""The kernel for one parameter after another, in plain tensor operations.

This is the path to read, and the one that autograd can differentiate.
p parameter, g gradient, m momentum, v square, k peak, c the twelve numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mementum.family.rule import Coefficients, plainly
from mementum.torch.backends.bucket import Bucket
from mementum.torch.backends.guard import TensorGuard
from mementum.torch.backends.low_precision import widened

name = "loop"
device: str | None = None
guard = TensorGuard

# Elements squared at once, in float64, and the length of the rows they are added in.
# Where rows begin depends on the gradient alone, so its sum does on no thread count.
_PIECE, _ROW = 1 << 20, 1 << 12


def refuses(flags: Mapping[str, Any], param: Tensor) -> str | None:
    """Return why parameters like this one cannot run here, or None if they can."""
    asked = next((flag for flag in ("fused", "foreach") if flags[flag]), None)
    return f"{asked}=True asks for another path" if asked else None


def ready(bucket: Bucket) -> None:
    """Refuse nothing: torch's operations do so themselves."""


def update(c: Coefficients, bucket: Bucket) -> None:
    """Take one step for each parameter of the bucket."""
    with undone_where_skipped(bucket):
        if bucket.noisy:
            for i, wide in enumerate(widened(bucket)):
                _update(numbers_of(c, i, bucket.dtype), wide)
        else:
            _update(c, bucket)


@contextlib.contextmanager
def undone_where_skipped(bucket: Bucket) -> Iterator[None]:
    """Undo a step where the device skips it: no numbers hold what is infinite."""
    if bucket.skip is None:
        yield
        return
    params, _, *moments = bucket.all_rows()
    written = [tensor for row in (params, *moments) for tensor in row]
    before = list(map(torch.clone, written))
    yield
    for tensor, held in zip(written, before, strict=True):
        tensor.copy_(torch.where(bucket.skip, held, tensor))


def square_sums(grads: list[Tensor]) -> Tensor:
    """Return the sum of the squares of each gradient, in float64.

    They are real and dense; the sums lie on the first one's device.
    """
    sums = list(map(_square_sum, grads))
    return torch.stack([each.to(sums[0].device) for each in sums])


def _square_sum(grad: Tensor) -> Tensor:
    if grad.device.type != "cpu":
        norm: Tensor = torch.linalg.vector_norm(grad, dtype=torch.float64)
        return norm * norm
    pieces = torch.split(grad.reshape(-1), _PIECE)
    return torch.stack(list(map(_rows_summed, pieces))).sum()


def _rows_summed(piece: Tensor) -> Tensor:
    squares = piece.to(torch.float64, copy=True).square_()
    whole = squares.numel() // _ROW * _ROW
    rows = squares[:whole].view(-1, _ROW).sum(1)
    return rows.sum() + squares[whole:].sum()


def _update(c: Coefficients, bucket: Bucket) -> None:
    for i, p in enumerate(bucket.params):
        _update_one(
            numbers_of(c, i, bucket.dtype),
            p,
            bucket.grads[i].to(bucket.dtype),
            bucket.momentum[i],
            bucket.square[i],
            bucket.peak[i] if bucket.peak else None,
        )


def numbers_of(c: Coefficients, i: int, dtype: torch.dtype) -> Coefficients:
    """Return the i-th parameter's numbers."""
    return Coefficients(*(_number(number, i, dtype) for number in c))


def _number(number: Any, i: int, dtype: torch.dtype) -> Any:
    """Return the i-th parameter's number; a tensor would widen a scalar parameter."""
    if not isinstance(number, Tensor):
        return number
    return (number[i] if number.dim() else number).to(dtype)


def _update_one(
    c: Coefficients, param: Tensor, grad: Tensor, m: Tensor, v: Tensor, k: Tensor | None
) -> None:
    p = param.to(m.dtype)
    if torch.is_grad_enabled():
        # Backward reads what forward read, and the parameter is about to change.
        p = p.clone()
    g = grad if plainly(c.scale, 1) else grad * c.scale
    if not plainly(c.pull, 0):
        g = g + p * c.pull
    next_m = m + (g - m) * c.take_m
    u = _weighted(g, c.square_g, next_m, c.square_m)
    sample = u * u if plainly(c.eps_in, 0) else u * u + c.eps_in
    next_v = v + (sample - v) * c.take_v
    largest = next_v
    if k is not None:
        # Backward reads what forward read, and the peak is about to change.
        before = k.clone() if torch.is_grad_enabled() else k
        largest = torch.maximum(before, next_v)
        k.copy_(largest)
    root = sqrt(largest if plainly(c.eps_root, 0) else largest + c.eps_root)
    step = _weighted(g, c.step_g, next_m, c.step_m) / (
        root if plainly(c.eps_out, 0) else root + c.eps_out
    )
    if not plainly(c.shrink, 0):
        step = step + p * c.shrink
    m.copy_(next_m)
    v.copy_(next_v)
    param.copy_(p - step)


def _weighted(g: Tensor, a: Any, m: Tensor, b: Any) -> Tensor:
    """Return ``a g + b m``, where a factor of zero removes its term."""
    if plainly(a, 0):
        return m if plainly(b, 1) else m * b
    scaled_g = g if plainly(a, 1) else g * a
    return scaled_g if plainly(b, 0) else (m if plainly(b, 1) else m * b) + scaled_g


def sqrt(x: Tensor) -> Tensor:
    """Return the root of each element, correctly rounded.

    On a CPU torch may take its root from a vector library that is an ulp off now
    and then, depending on the processor. NumPy's is the processor's own, which
    IEEE 754 requires to be exact. A tensor that autograd follows keeps torch's.
    """
    if type(x) is not Tensor or x.requires_grad or x.device.type != "cpu":
        return x.sqrt()
    root = torch.empty_like(x)
    np.sqrt(x.numpy(), out=root.numpy())
    return root
