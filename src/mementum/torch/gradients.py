"""What is asked of the gradients before a step changes anything."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from mementum.torch import sharding
from mementum.torch.groups import named

Named = tuple[str, Tensor]


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


def first_nonfinite(params: Iterable[Named]) -> str | None:
    """Return the name of a parameter whose gradient holds an infinity or NaN.

    Each device is asked once; the gradients are read and not changed.
    """
    pairs = [(name, param) for name, param in params if param.grad is not None]
    grads = [sharding.local_grad(param) for _, param in pairs]
    by_device: dict[torch.device, list[int]] = {}
    for i, grad in enumerate(grads):
        if grad.numel():
            by_device.setdefault(grad.device, []).append(i)
    found = [False] * len(pairs)
    for indices in by_device.values():
        largest = torch.stack(_largest([grads[i] for i in indices]))
        for i, finite in zip(indices, torch.isfinite(largest).tolist(), strict=True):
            found[i] = not finite
    found = sharding.anywhere(found, [param for _, param in pairs])
    return pairs[found.index(True)][0] if any(found) else None


def _largest(grads: list[Tensor]) -> list[Tensor]:
    """Return the largest magnitude in each gradient, NaN where there is one."""
    parts = [
        torch.view_as_real(grad.resolve_conj()) if grad.is_complex() else grad
        for grad in grads
    ]
    norms = torch._foreach_norm([part.detach() for part in parts], math.inf)
    return [norm.to(torch.float64) for norm in norms]
