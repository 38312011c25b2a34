"""What is kept for each parameter between steps."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mementum.torch.state import rounding, sharding

# What a parameter's moments are computed in, and kept in unless a group's
# `state_dtype` says otherwise: float32 at least.
MOMENT_DTYPE = {
    torch.float64: torch.float64,
    torch.float32: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
    torch.complex128: torch.complex128,
    torch.complex64: torch.complex64,
    torch.complex32: torch.complex64,
}

# What moments can be stored in, and what `state_dtype` may be beside None.
FORMATS = ("float32", "bfloat16", "float8")
STATE_DTYPES = (*FORMATS, "float64")
LOW = {torch.bfloat16: "bfloat16", torch.uint8: "float8"}
MOMENTS = ("momentum", "square", "peak")
# torch's names of them.
RAW = {"momentum": "exp_avg", "square": "exp_avg_sq", "peak": "max_exp_avg_sq"}
SCALE = "_scale"
OWN = {"step", *MOMENTS, *(name + SCALE for name in MOMENTS)}

# Where fewer elements, or no rows to part into blocks, would save next to nothing,
# float8 leaves the moments float32.
FEWEST = 4096


def start(
    param: Tensor, *, peak: bool, capturable: bool, state_dtype: str | None = None
) -> dict[str, Any]:
    """Return the state before the first step: no steps taken, and zero moments.

    The moments have the parameter's shape and, where it is dense, its strides; the
    codes of float8 moments are contiguous, and their blocks' exponents lie beside
    them as ``<name>_scale``. The step is a plain integer, exact at any size, or, where
    steps are captured, an int64 tensor of no dimensions beside the parameter.
    Errors: `ValueError` if such a parameter cannot have moments in `state_dtype`.
    """
    if (reason := refuses(param, state_dtype)) is not None:
        raise ValueError(reason)
    names = MOMENTS if peak else MOMENTS[:2]
    state: dict[str, Any] = {"step": counter(0, param, capturable=capturable)}
    for name in names:
        state |= _zeros(name, param, storage(param, state_dtype))
    return state


def _zeros(name: str, param: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    if dtype != torch.uint8:
        moment = torch.empty_like(param, dtype=dtype, requires_grad=False)
        return {name: _zeroed(moment)}
    codes = torch.empty_like(
        param,
        dtype=dtype,
        requires_grad=False,
        memory_format=torch.contiguous_format,
    )
    count = rounding.blocks(sharding.local(param).shape)
    scale = torch.zeros(count, dtype=dtype, device=param.device)
    if sharding.is_sharded(param):
        scale = sharding.scale(param, scale)
    return {name: _zeroed(codes), name + SCALE: scale}


def _zeroed(fresh: Tensor) -> Tensor:
    """Fill a new and dense tensor with zeros.

    On a CPU not by torch, whose pool of threads is missing in a forked process.
    """
    if type(fresh) is not Tensor or fresh.device.type != "cpu":
        return fresh.zero_()
    ctypes.memset(fresh.data_ptr(), 0, fresh.nbytes)
    return fresh


def storage(param: Tensor, state_dtype: str | None) -> torch.dtype:
    """Return the dtype of a parameter's moments; uint8 stands for float8 codes."""
    if state_dtype == "bfloat16":
        return torch.bfloat16
    if state_dtype == "float8" and param.dim() > 1 and param.numel() >= FEWEST:
        return torch.uint8
    if state_dtype == "float64":
        return torch.float64
    return MOMENT_DTYPE[param.dtype]


def refuses(param: Tensor, state_dtype: str | None) -> str | None:
    """Return why a parameter cannot have moments in `state_dtype`, or None."""
    narrower = param.dtype == torch.float64 and state_dtype != "float64"
    if state_dtype is None or not (narrower or param.is_complex()):
        blocked = storage(param, state_dtype) == torch.uint8
        return sharding.refuses_blocks(param) if blocked else None
    return (
        f"state_dtype is {state_dtype!r}, and the parameter is {param.dtype}, whose "
        "moments are kept as wide as itself; leave state_dtype None in its group."
    )


def misfit(
    param: Tensor, kept: Mapping[str, Any], state_dtype: str | None
) -> str | None:
    """Return why a parameter's state is not what `state_dtype` says, or None."""
    wants = LOW.get(storage(param, state_dtype))
    for name in MOMENTS:
        if name in kept and (found := LOW.get(kept[name].dtype)) != wants:
            return (
                f"its {name} is stored in {found or kept[name].dtype}, and state_dtype "
                f"is {state_dtype!r}; use the state_dtype it was saved with."
            )
    return None


def counter(step: Any, param: Tensor, *, capturable: bool) -> int | Tensor:
    """Return a step, given as an int, float or tensor, in the form it is kept in."""
    if not capturable:
        return int(step)
    if isinstance(step, Tensor):
        return step.to(device=param.device, dtype=torch.int64).reshape(()).clone()
    return torch.full((), int(step), dtype=torch.int64, device=param.device)
