"""What is asked of the gradients before a step changes anything."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

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
    by_device: dict[torch.device, list[Named]] = {}
    for name, param in params:
        if param.grad is not None and param.grad.numel():
            by_device.setdefault(param.grad.device, []).append((name, param.grad))
    for pairs in by_device.values():
        largest = torch.stack(_largest([grad for _, grad in pairs]))
        finite = torch.isfinite(largest).tolist()
        if not all(finite):
            return pairs[finite.index(False)][0]
    return None


def _largest(grads: list[Tensor]) -> list[Tensor]:
    """Return the largest magnitude in each gradient, NaN where there is one."""
    parts = [
        torch.view_as_real(grad.resolve_conj()) if grad.is_complex() else grad
        for grad in grads
    ]
    norms = torch._foreach_norm([part.detach() for part in parts], math.inf)
    return [norm.to(torch.float64) for norm in norms]
