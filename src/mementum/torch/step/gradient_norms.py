"""What is asked of the gradients before a step changes anything.

One reading answers: for each gradient a number in float64, added over the processes
that hold shards of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from mementum.torch.backends import choose_for_sums
from mementum.torch.groups.options import Group, named
from mementum.torch.state import sharding

# Their squares may exceed float64.
_WIDE = (torch.float64, torch.complex128)
_Named = tuple[str, Tensor]
_Reading = Callable[[list[Tensor]], Tensor]


def refuse_sparse(groups: list[Group]) -> None:
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


def with_gradients(params: Iterable[_Named]) -> list[_Named]:
    """Return the parameters that have a gradient, with their names."""
    return [(name, param) for name, param in params if param.grad is not None]


def read(pairs: list[_Named]) -> tuple[list[float], str | None]:
    """Return sums of squares of parameters' gradients, and the name of the first bad.

    A bad gradient holds an infinity or NaN; there may be none. All processes that share
    shards are told the same. The gradients are read and not changed.
    """
    params = [param for _, param in pairs]
    squares = _host(total(params, square_sums))
    suspects = [i for i, square in enumerate(squares) if not math.isfinite(square)]
    # Large float64 gradients are suspected wrongly.
    marks = _host(total([params[i] for i in suspects], _nonfinite_marks))
    spoiled = [i for i, mark in zip(suspects, marks, strict=True) if mark]
    return squares, pairs[spoiled[0]][0] if spoiled else None


def _host(numbers: Tensor | None) -> list[float]:
    """Return numbers as the host knows them, waiting for their device."""
    return [] if numbers is None else numbers.tolist()


def total(params: list[Tensor], reading: _Reading) -> Tensor | None:
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
    return choose_for_sums(parts).square_sums(parts)


def any_nonfinite(params: list[Tensor], squares: Tensor) -> Tensor:
    """Whether a gradient holds an infinity or NaN, said on the device.

    `squares` are the sums of their squares, over all shards.
    """
    if not any(param.dtype in _WIDE for param in params):
        return ~squares.isfinite().all()
    marks = total(params, _nonfinite_marks)
    assert marks is not None
    return marks.sum() > 0


def _nonfinite_marks(grads: list[Tensor]) -> Tensor:
    """Return 1 for each gradient that holds an infinity or NaN, and 0 for others."""
    return _stacked(map(_mark, _parts(grads)))


def _mark(part: Tensor) -> Tensor:
    # On a CPU by NumPy: torch's pool of threads is missing in a forked process.
    if part.device.type == "cpu" and part.dtype == torch.float64:
        finite = bool(np.isfinite(part.numpy()).all())
        return torch.tensor(float(not finite), dtype=torch.float64, device="cpu")
    if part.device.type == "cpu":
        # Squares of narrower numbers do not leave float64.
        return (~square_sums([part]).isfinite()).to(torch.float64)[0]
    return (~part.isfinite()).any().to(torch.float64)


def _stacked(numbers: Iterable[Tensor]) -> Tensor:
    """Return numbers as a vector on the first one's device."""
    every = list(numbers)
    return torch.stack([number.to(every[0].device) for number in every])


def _parts(grads: list[Tensor]) -> Iterator[Tensor]:
    """Yield gradients as real tensors that autograd does not follow."""
    for grad in grads:
        plain = grad.detach().resolve_neg()
        if plain.is_complex():
            plain = torch.view_as_real(plain.resolve_conj())
        yield plain
