"""What is kept for each parameter between steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# What a parameter's moments are kept and computed in: float32 at least.
MOMENT_DTYPE = {
    torch.float64: torch.float64,
    torch.float32: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
    torch.complex128: torch.complex128,
    torch.complex64: torch.complex64,
    torch.complex32: torch.complex64,
}


def start(param: Tensor, *, peak: bool, capturable: bool) -> dict[str, Any]:
    """Return the state before the first step: no steps taken, and zero moments.

    The moments have the parameter's shape and, where it is dense, its strides. The
    step is a plain integer, exact at any size, or, where steps are captured, an int64
    tensor of no dimensions beside the parameter.
    """
    dtype = MOMENT_DTYPE[param.dtype]
    names = ("momentum", "square", "peak") if peak else ("momentum", "square")
    return {"step": counter(0, param, capturable=capturable)} | {
        name: torch.zeros_like(param, dtype=dtype, requires_grad=False)
        for name in names
    }


def counter(step: Any, param: Tensor, *, capturable: bool) -> int | Tensor:
    """Return a step, given as an int, float or tensor, in the form it is kept in."""
    if not capturable:
        return int(step)
    if isinstance(step, Tensor):
        return step.to(device=param.device, dtype=torch.int64).reshape(()).clone()
    return torch.full((), int(step), dtype=torch.int64, device=param.device)
