"""What is kept for each parameter between steps."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor

from mementum.torch.state import formats, sharding
from mementum.torch.state.formats import MOMENT_DTYPE, SCALE, Moment

MOMENTS: tuple[Moment, ...] = ("momentum", "square", "peak")
# torch's names of them.
RAW = {"momentum": "exp_avg", "square": "exp_avg_sq", "peak": "max_exp_avg_sq"}
OWN = {"step", *MOMENTS, *(name + SCALE for name in MOMENTS)}


def prepare(
    param: Tensor,
    state: dict[str, Any],
    *,
    peak: bool,
    capturable: bool,
    state_dtype: str | None,
) -> None:
    """Bring a parameter's state into the form that a step wants, or begin it.

    It begins with no steps taken and zero moments, which have the parameter's
    shape and, where it is dense, its strides. A peak that is missing begins at the
    square. The step is a plain integer, exact at any size, or, where steps are
    captured, an int64 tensor of no dimensions beside the parameter. One that was
    replaced by a tensor in shared memory stays there, for other processes.
    Errors: `ValueError` for a parameter that cannot have moments in `state_dtype`, for
    moments that do not fit the parameter, and for lazy views.
    """
    _refuse_lazy_view(param, f"a parameter of shape {tuple(param.shape)}")
    if not state:
        state |= _zeros(param, MOMENTS if peak else MOMENTS[:2], state_dtype)
    elif peak and "peak" not in state:
        form = formats.recognize(state["square"])
        square = formats.tensors(form, "square", state)
        state |= formats.entries(form, "peak", tuple(map(torch.clone, square)))
    _settle(param, state)
    step = state["step"]
    if not _is_shared(step) and (capturable or type(step) is not int):
        state["step"] = counter(state["step"], param, capturable=capturable)


def _zeros(
    param: Tensor, names: tuple[Moment, ...], state_dtype: str | None
) -> dict[str, Any]:
    if (reason := formats.refuses(param, state_dtype)) is not None:
        raise ValueError(reason)
    form = formats.choose(param, state_dtype)
    state: dict[str, Any] = {"step": 0}
    for name in names:
        state |= formats.entries(form, name, form.zeros(param))
    return state


def _settle(param: Tensor, state: dict[str, Any]) -> None:
    """Bring moments that were replaced to one format, or refuse what does not fit."""
    names = [name for name in MOMENTS if name in state]
    for name in names:
        _check_place(name, param, state[name])
    kinds = {formats.recognize(state[name]) for name in names}
    if not any(form.noisy for form in kinds):
        dtypes = [MOMENT_DTYPE[param.dtype], *(form.dtype for form in kinds)]
        for name in names:
            state[name] = state[name].to(reduce(torch.promote_types, dtypes))
    elif len(kinds) > 1:
        stored = sorted({str(state[name].dtype) for name in names})
        raise ValueError(
            f"the moments kept for a parameter of shape {tuple(param.shape)} are "
            f"{' and '.join(stored)}; begin its state anew."
        )


def _check_place(name: Moment, param: Tensor, moment: Tensor) -> None:
    """Refuse a moment of another layout or shape than the parameter's, or elsewhere."""
    what = f"the {name} kept for a parameter of shape {tuple(param.shape)}"
    if moment.layout != param.layout:
        raise ValueError(
            f"{what} is {moment.layout}, and moments are dense; call to_dense() on it."
        )
    _refuse_lazy_view(moment, what)
    if not sharding.alike(param, moment):
        raise ValueError(
            f"{what} is spread over processes in another way than the parameter; load "
            "the state with torch.distributed.checkpoint, or begin it anew."
        )
    if moment.shape != param.shape or moment.device != param.device:
        raise ValueError(
            f"{what} on {param.device} has shape {tuple(moment.shape)} on "
            f"{moment.device}; move the optimizer's state with its parameters, or "
            "begin it anew."
        )


def _refuse_lazy_view(tensor: Tensor, what: str) -> None:
    """Refuse what torch negates or conjugates when it is read, and not in memory."""
    if tensor.is_conj() or tensor.is_neg():
        raise ValueError(
            f"{what} has become a lazy conjugate or negation of another tensor; put "
            "its resolve_conj().resolve_neg() there."
        )


def _is_shared(step: Any) -> bool:
    """Whether processes count in this tensor together; every CUDA tensor says so."""
    if not isinstance(step, Tensor) or step.device.type != "cpu":
        return False
    return bool(step.is_shared())  # type: ignore[no-untyped-call]


def counter(step: Any, param: Tensor, *, capturable: bool) -> int | Tensor:
    """Return a step, given as an int, float or tensor, in the form it is kept in."""
    if not capturable:
        return int(step)
    if isinstance(step, Tensor):
        return step.to(device=param.device, dtype=torch.int64).reshape(()).clone()
    return torch.full((), int(step), dtype=torch.int64, device=param.device)
