"""What is asked of the gradients before a step changes anything.

One reading answers: for each gradient a number in float64, added over the processes
that hold shards of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mementum.torch.backends import native
from mementum.torch.groups.options import named
from mementum.torch.state import sharding

Named = tuple[str, Tensor]
Reading = Callable[[list[Tensor]], Tensor]

# Elements squared at once, in float64, and the length of the rows they are added in.
# Where rows begin depends on the gradient alone, so its sum does on no thread count.
PIECE, ROW = 1 << 20, 1 << 12


def refuse_sparse(groups: list[dict[str, Any]]) -> None:
    """Refuse sparse gradients: the moments are dense, and every row of them decays.

    Errors: `RuntimeError` with the parameter's name.
    """
    for index, group in enumerate(groups):
        sparse = [
            param.grad is not None and param.grad.layout is not torch.strided
            for param in group["params"]
        ]
        if any(sparse):
            name, _ = list(named(index, group))[sparse.index(True)]
            raise RuntimeError(
                f"the gradient of {name} is sparse, and the moments are dense; use "
                "sparse=False in that layer, or give it to torch.optim.SparseAdam."
            )


def with_gradients(params: Iterable[Named]) -> list[Named]:
    """Return the parameters that have a gradient, with their names."""
    return [(name, param) for name, param in params if param.grad is not None]


def read(pairs: list[Named]) -> tuple[list[float], str | None]:
    """Return sums of squares of parameters' gradients, and the name of the first bad.

    A bad gradient holds an infinity or NaN; there may be none. All processes that share
    shards are told the same. The gradients are read and not changed.
    """
    params = [param for _, param in pairs]
    squares = host(total(params, square_sums))
    suspects = [i for i, square in enumerate(squares) if not math.isfinite(square)]
    # Large float64 gradients are suspected wrongly.
    marks = host(total([params[i] for i in suspects], nonfinite_marks))
    spoiled = [i for i, mark in zip(suspects, marks, strict=True) if mark]
    return squares, pairs[spoiled[0]][0] if spoiled else None


def host(numbers: Tensor | None) -> list[float]:
    """Return numbers as the host knows them, waiting for their device."""
    return [] if numbers is None else numbers.tolist()


def total(params: list[Tensor], reading: Reading) -> Tensor | None:
    """Return the reading of each gradient, added over shards, or None for no parameter.

    It lies on the first gradient's device, and nothing is waited for.
    """
    if not params:
        return None
    return sharding.added(reading(list(map(sharding.local_grad, params))), params)


def square_sums(grads: list[Tensor]) -> Tensor:
    """Return the sum of squares of each gradient, in float64.

    It is infinite or NaN where the gradient is, and where a float64 gradient exceeds
    1e154. The order of the additions depends on a gradient's elements alone.
    """
    parts = list(_parts(grads))
    if native.library() is None or any(part.device.type != "cpu" for part in parts):
        return _stacked(map(_square_sum, parts))
    sums = np.empty(len(parts))
    by_dtype: dict[torch.dtype, list[int]] = {}
    for i, part in enumerate(parts):
        by_dtype.setdefault(part.dtype, []).append(i)
    for indices in by_dtype.values():
        sums[indices] = native.square_sums([parts[i] for i in indices])
    return torch.from_numpy(sums)


def nonfinite_marks(grads: list[Tensor]) -> Tensor:
    """Return 1 for each gradient that holds an infinity or NaN, and 0 for others."""
    return _stacked(map(_mark, _parts(grads)))


def _mark(part: Tensor) -> Tensor:
    # On a CPU by NumPy: torch's pool of threads is missing in a forked process.
    if part.device.type == "cpu" and part.dtype == torch.float64:
        finite = bool(np.isfinite(part.numpy()).all())
        return torch.tensor(float(not finite), dtype=torch.float64)
    if part.device.type == "cpu":
        # Squares of narrower numbers do not leave float64.
        return (~square_sums([part]).isfinite()).to(torch.float64)[0]
    return (~part.isfinite()).any().to(torch.float64)


def _stacked(numbers: Iterable[Tensor]) -> Tensor:
    """Return numbers as a vector on the first one's device."""
    every = list(numbers)
    return torch.stack([number.to(every[0].device) for number in every])


def _square_sum(part: Tensor) -> Tensor:
    if part.device.type != "cpu":
        norm: Tensor = torch.linalg.vector_norm(part, dtype=torch.float64)
        return norm * norm
    flat = part.reshape(-1)
    sums = [_rows_summed(piece) for piece in torch.split(flat, PIECE)]
    return torch.stack(sums).sum()


def _rows_summed(piece: Tensor) -> Tensor:
    squares = piece.to(torch.float64, copy=True).square_()
    whole = squares.numel() // ROW * ROW
    rows = squares[:whole].view(-1, ROW).sum(1)
    return rows.sum() + squares[whole:].sum()


def _parts(grads: list[Tensor]) -> Iterator[Tensor]:
    """Yield gradients as real tensors that autograd does not follow."""
    for grad in grads:
        plain = grad.detach().resolve_neg()
        if plain.is_complex():
            plain = torch.view_as_real(plain.resolve_conj())
        yield plain
