"""What is asked of the gradients before a step changes anything.

One reading answers: for each gradient a number in float64, added over the processes
that hold shards of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from mementum.torch.groups import named

Named = tuple[str, Tensor]

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
    """Return the names and gradients of the parameters that have one."""
    return [(name, param.grad) for name, param in params if param.grad is not None]


def read(pairs: list[Named]) -> tuple[list[float], str | None]:
    """Return the sums of squares of named gradients, and the name of the first bad one.

    A bad gradient holds an infinity or NaN; there may be none. All processes that share
    shards are told the same. The gradients are read and not changed.
    """
    grads = [grad for _, grad in pairs]
    squares = host(total(grads, square_sums))
    suspects = [i for i, square in enumerate(squares) if not math.isfinite(square)]
    # Large float64 gradients are suspected wrongly.
    marks = host(total([grads[i] for i in suspects], nonfinite_marks))
    spoiled = [i for i, mark in zip(suspects, marks, strict=True) if mark]
    return squares, pairs[spoiled[0]][0] if spoiled else None


def host(numbers: Tensor | None) -> list[float]:
    """Return numbers as the host knows them, waiting for their device."""
    return [] if numbers is None else numbers.tolist()


def total(grads: list[Tensor], reading: Any) -> Tensor | None:
    """Return the reading of each gradient, added over shards, or None for no gradient.

    It lies on the first gradient's device, and nothing is waited for.
    """
    if not grads:
        return None
    numbers: list[Tensor] = reading([_local(grad) for grad in grads])
    device = numbers[0].device
    found = torch.stack([number.to(device) for number in numbers])
    for places, processes in _sharded(grads).values():
        part = found[places]
        for group in processes:
            torch.distributed.all_reduce(part, group=group)
        found[places] = part
    return found


def square_sums(grads: list[Tensor]) -> list[Tensor]:
    """Return the sum of squares of each gradient, in float64.

    It is infinite or NaN where the gradient is, and where a float64 gradient exceeds
    1e154.
    """
    return [_square_sum(part) for part in _parts(grads)]


def nonfinite_marks(grads: list[Tensor]) -> list[Tensor]:
    """Return 1 for each gradient that holds an infinity or NaN, and 0 for others."""
    parts = [part if part.numel() else part.new_zeros(1) for part in _parts(grads)]
    largest = torch._foreach_norm(parts, math.inf)
    return [(~torch.isfinite(norm)).to(torch.float64) for norm in largest]


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
        plain = grad.detach()
        if plain.is_complex():
            plain = torch.view_as_real(plain.resolve_conj())
        yield plain


def _local(grad: Tensor) -> Tensor:
    """Return the part of a gradient that this process holds."""
    to_local = getattr(grad, "to_local", None)
    return grad if to_local is None else to_local()


def _sharded(grads: list[Tensor]) -> dict[Any, tuple[list[int], list[Any]]]:
    """Return which gradients are in shards, and the processes that share them.

    Errors: `RuntimeError` for a gradient that is a sum still to be made.
    """
    found: dict[Any, tuple[list[int], list[Any]]] = {}
    for i, grad in enumerate(grads):
        mesh = getattr(grad, "device_mesh", None)
        if mesh is None:
            continue
        placements = grad.placements  # type: ignore[attr-defined]
        if any(placement.is_partial() for placement in placements):
            raise RuntimeError(
                "a gradient is a DTensor whose parts are still to be added (Partial); "
                "redistribute it to its parameter's placements first."
            )
        dims = tuple(d for d, each in enumerate(placements) if each.is_shard())
        groups = [mesh.get_group(d) for d in dims]
        if dims:
            found.setdefault((mesh, dims), ([], groups))[0].append(i)
    return found
