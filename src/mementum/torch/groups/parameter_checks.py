"""What a parameter is in memory, and the refusal of what no step can update."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from mementum.torch.state.formats import MOMENT_DTYPE, refuses


class _Extent(NamedTuple):
    """The bytes ``[start, end)`` between a parameter's first and last element."""

    device: str
    start: int
    end: int
    name: str
    param: Tensor


def refuse_kinds(params: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse parameters in a dtype that has no step, and lazy views.

    Errors: `TypeError` or `ValueError` with the name of the parameter.
    """
    for name, param in params:
        if torch.nn.parameter.is_lazy(param):
            continue
        if param.requires_grad and param.dtype not in MOMENT_DTYPE:
            raise TypeError(
                f"{name} is {param.dtype}; a step wants a real or complex "
                "floating-point dtype of 16 bits or more."
            )
        if param.is_conj() or param.is_neg():
            raise ValueError(
                f"{name} is a lazy conjugate or negation of another tensor; pass "
                "its resolve_conj().resolve_neg()."
            )


def refuse_storage(
    params: Iterable[tuple[str, Tensor]], state_dtype: str | None
) -> None:
    """Refuse parameters whose moments cannot be stored in a dtype.

    Errors: `ValueError` with the name of the parameter.
    """
    for name, param in params:
        if param.requires_grad and (reason := refuses(param, state_dtype)) is not None:
            raise ValueError(f"{name}: {reason}")


def refuse_shared_memory(params: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse parameters that own an element twice, alone or together.

    Interleaved views of one storage, such as two columns, share no element and pass.
    Errors: `ValueError` with the names of the parameters.
    """
    extents = [
        extent for name, param in params if (extent := _extent(name, param)) is not None
    ]
    for extent in extents:
        if repeats(extent.param):
            raise ValueError(
                f"{extent.name} has several elements at one place in memory (it is "
                "expanded, or has overlapping strides); pass a clone() of it."
            )
    extents.sort(key=lambda extent: extent[:3])
    earlier: list[_Extent] = []
    for extent in extents:
        earlier = [e for e in earlier if e.device == extent.device]
        earlier = [e for e in earlier if e.end > extent.start]
        for other in earlier:
            if other.param is extent.param:
                raise ValueError(
                    f"{extent.name} is {other.name} again, so every step would change "
                    "it twice; list it once."
                )
            if _meet(other, extent):
                raise ValueError(
                    f"{other.name} and {extent.name} share memory, so every step would "
                    "change it twice; pass the tensor that holds both, once."
                )
        earlier.append(extent)


def _extent(name: str, param: Tensor) -> _Extent | None:
    """Return where a parameter lies, or None where it has no memory to speak of."""
    if torch.nn.parameter.is_lazy(param) or param.layout != torch.strided:
        return None
    if param.is_meta or param.numel() == 0:
        return None
    if type(param).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return None  # a wrapper, such as a DTensor, has no memory of its own
    start = param.data_ptr()
    last = sum(
        (size - 1) * stride
        for size, stride in zip(param.shape, param.stride(), strict=True)
    )
    end = start + (last + 1) * param.element_size()
    return _Extent(str(param.device), start, end, name, param)


def repeats(param: Tensor) -> bool:
    """Whether two indices of a parameter lead to the same element."""
    dims = [(stride, size) for stride, size in _dims(param) if size > 1]
    reach = 0
    for stride, size in sorted(dims):
        if stride <= reach:
            break
        reach += stride * (size - 1)
    else:
        return False
    if any(stride == 0 for stride, _ in dims):
        return True
    places = torch.zeros(1, dtype=torch.int64, device="cpu")
    for stride, size in dims:
        places = (places[:, None] + stride * torch.arange(size, device="cpu")).flatten()
    distinct = torch.bincount(places).count_nonzero()
    return int(distinct) < places.numel()


def _dims(param: Tensor) -> Iterable[tuple[int, int]]:
    return zip(param.stride(), param.shape, strict=True)


def _meet(a: _Extent, b: _Extent) -> bool:
    """Whether two parameters with overlapping extents have a byte in common."""
    if _is_dense(a) or _is_dense(b):
        dense, other = (a, b) if _is_dense(a) else (b, a)
        if dense.start <= other.start and other.end <= dense.end:
            return True
    if _pass_between(a, b):
        return False
    origin = min(a.start, b.start)
    size = max(a.end, b.end) - origin
    owned = torch.zeros(size, dtype=torch.bool, device="cpu")
    _bytes(owned, a, origin).fill_(True)
    return bool(_bytes(owned, b, origin).any())


def _pass_between(a: _Extent, b: _Extent) -> bool:
    """Whether the strides alone show that two parameters interleave, as columns do.

    All offsets of both are multiples of one step from their starts, so elements can
    only meet if the starts are less than an element apart, modulo that step.
    """
    widths = a.param.element_size(), b.param.element_size()
    strides = [
        stride * width
        for param, width in zip((a.param, b.param), widths, strict=True)
        for stride, size in _dims(param)
        if size > 1
    ]
    step = math.gcd(*strides)
    if step == 0:
        return False
    apart = (b.start - a.start) % step
    return apart >= widths[0] and step - apart >= widths[1]


def _is_dense(extent: _Extent) -> bool:
    return extent.end - extent.start == extent.param.nbytes


def _bytes(owned: Tensor, extent: _Extent, origin: int) -> Tensor:
    """Return the part of a map of bytes that a parameter owns."""
    width = extent.param.element_size()
    return owned.as_strided(
        (*extent.param.shape, width),
        (*(stride * width for stride in extent.param.stride()), 1),
        extent.start - origin,
    )
