"""The compiled kernel: one call runs over a whole bucket, in one pass over memory.

Its operations and their order are the loop's, so both give the same bits. Addresses
are asked for at every step: users move parameters and state.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mementum.noise import Key
from mementum.rule import Coefficients
from mementum.torch.backends import foreach
from mementum.torch.bucket import Bucket
from mementum.torch.state import MOMENTS

name = "native"

# As in native/kernel.h; uint8 holds the codes of float8 moments.
TYPES = {
    torch.float32: 0,
    torch.float64: 1,
    torch.bfloat16: 2,
    torch.float16: 3,
    torch.uint8: 4,
}
ISAS = ("baseline", "avx2", "avx512")


class _Job(ctypes.Structure):
    _fields_ = (
        ("numbers", ctypes.c_double * len(Coefficients._fields)),
        ("param", ctypes.c_int32),
        ("grad", ctypes.c_int32),
        ("state", ctypes.c_int32),
        ("isa", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("rounds_param", ctypes.c_int32),
        ("count", ctypes.c_int64),
        ("items", ctypes.c_void_p),
        ("roundings", ctypes.c_void_p),
    )


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernel, or None if the package has none that it can use.

    The environment variable MEMENTUM_NATIVE=0 hides it.
    """
    if os.environ.get("MEMENTUM_NATIVE") == "0":
        return None
    package = importlib.util.find_spec("mementum")
    assert package is not None
    # Installed to be edited, the package has two places: sources, and what is built.
    for root in package.submodule_search_locations or ():
        for path in sorted(Path(root, "native").glob("mementum_kernel.*")):
            return _loaded(path)
    return None


def _loaded(path: Path) -> ctypes.CDLL | None:
    """Return a kernel, or None if it does not load or is another version's."""
    try:
        kernel = ctypes.CDLL(os.fspath(path))
        size: int = kernel.mementum_job_size()
    except (AttributeError, OSError):
        return None
    return kernel if size == ctypes.sizeof(_Job) else None


@functools.cache
def isa() -> int:
    """Return the instruction set to use: the newest, or MEMENTUM_ISA's if lower.

    Errors: `ValueError` if MEMENTUM_ISA is no instruction set of `ISAS`.
    """
    kernel = library()
    best: int = kernel.mementum_best_isa() if kernel else 0
    asked = os.environ.get("MEMENTUM_ISA", ISAS[best])
    if asked not in ISAS:
        raise ValueError(f"MEMENTUM_ISA is {asked!r}; it is one of {', '.join(ISAS)}.")
    return min(best, ISAS.index(asked))


def refuses(flags: Mapping[str, Any], param: Tensor) -> str | None:
    """Return why parameters like this one cannot run here, or None if they can."""
    if library() is None:
        return "the kernel was not built; `mementum doctor` says why"
    if flags["differentiable"]:
        return "differentiable is True, and the kernel cannot be differentiated"
    if flags["capturable"]:
        return "capturable is True, and the kernel takes its numbers from the host"
    if flags["fused"] is False:
        return "fused=False asks for another path"
    if flags["foreach"] is not None and not flags["fused"]:
        return f"foreach={flags['foreach']} asks for another path"
    if param.device.type != "cpu":
        return f"the kernel runs on the CPU, and not on {param.device.type}"
    if type(param).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return f"a {type(param).__name__} keeps its elements elsewhere"
    return None


def update(c: Coefficients, bucket: Bucket) -> None:
    """Take one step for all parameters of the bucket."""
    if bucket.numberings:
        # The kernel numbers elements from the first of its own, and not of a whole.
        foreach.update(c, bucket)
        return
    kernel = library()
    assert kernel is not None
    layouts: list[array[int]] = []
    noisy = bucket.noisy
    items = array("q")
    peaks = list[Tensor | None](bucket.peak) or [None] * len(bucket.params)
    for p, g, m, v, k in zip(
        bucket.params, bucket.grads, bucket.momentum, bucket.square, peaks, strict=True
    ):
        layout = 0
        if not (
            p.is_contiguous()
            and g.is_contiguous()
            and m.is_contiguous()
            and v.is_contiguous()
            and (k is None or k.is_contiguous())
        ):
            row = (p, g, m, v, v if k is None else k)
            layout = _layout(p, row, layouts, in_order=noisy)
        items.extend(
            (
                p.data_ptr(),
                g.data_ptr(),
                m.data_ptr(),
                v.data_ptr(),
                0 if k is None else k.data_ptr(),
                p.numel(),
                layout,
            )
        )
    roundings = _roundings(bucket) if noisy else None
    job = _Job(
        (ctypes.c_double * len(c))(*c),
        TYPES[bucket.params[0].dtype],
        TYPES[bucket.grads[0].dtype],
        TYPES[bucket.momentum[0].dtype],
        isa(),
        torch.get_num_threads(),
        bucket.rounds_params,
        len(bucket.params),
        items.buffer_info()[0],
        roundings.buffer_info()[0] if roundings else None,
    )
    if kernel.mementum_step(ctypes.byref(job)):
        raise RuntimeError("the compiled kernel does not fit this package; rebuild it.")
    torch.autograd.graph.increment_version(bucket.params)


def _roundings(bucket: Bucket) -> array[int]:
    """Return, for each parameter, the keys of its noise and its float8 blocks."""
    roundings = array("Q")
    for i, p in enumerate(bucket.params):
        roundings.append(_packed(bucket.key(i, "state")) if bucket.low else 0)
        rounds = bucket.rounds_params
        roundings.append(_packed(bucket.key(i, "parameter")) if rounds else 0)
        if bucket.low == "float8":
            roundings.extend((*_scales(bucket, i), p.numel() // p.shape[0]))
        else:
            roundings.extend((0, 0, 0, 0))
    return roundings


def _packed(key: Key) -> int:
    return key.first | key.second << 32


def _scales(bucket: Bucket, i: int) -> Iterator[int]:
    """Yield where the scales of a parameter's float8 moments lie, 0 for no peak."""
    for moment in MOMENTS:
        if moment == "peak" and not bucket.peak:
            yield 0
            return
        codes, scale = bucket.float8(i, moment)
        if not (codes.is_contiguous() and scale.is_contiguous()):
            raise RuntimeError(
                f"a parameter's {moment} is no longer contiguous, as float8 codes and "
                "their scales must be; make them so with contiguous()."
            )
        yield scale.data_ptr()


def _layout(
    p: Tensor, row: tuple[Tensor, ...], kept: list[array[int]], *, in_order: bool
) -> int:
    """Return where a layout is written down, or 0 if all lie dense and alike.

    `kept` keeps it alive until the kernel has read it.
    """
    strides = tuple(tensor.stride() for tensor in row)
    described = _described(tuple(p.shape), strides, in_order)
    if not described:
        return 0
    kept.append(array("q", described))
    return kept[-1].buffer_info()[0]


@functools.lru_cache(maxsize=4096)
def _described(
    shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...], in_order: bool
) -> tuple[int, ...]:
    """Return rank, sizes and strides for the kernel; nothing if dense and alike.

    Dimensions that every operand steps through as one are merged, and the fastest
    one of the parameter comes last, unless the noise wants them `in_order`.
    """
    dims = [
        (size, tuple(stride[d] for stride in strides))
        for d, size in enumerate(shape)
        if size != 1
    ]
    if not in_order:
        dims.sort(key=lambda dim: dim[1][0], reverse=True)
    merged: list[tuple[int, tuple[int, ...]]] = []
    for size, steps in dims:
        if merged and merged[-1][1] == tuple(step * size for step in steps):
            merged[-1] = (merged[-1][0] * size, steps)
        else:
            merged.append((size, steps))
    if (len(merged) == 1 and set(merged[0][1]) == {1}) or not merged:
        return ()
    sizes = [size for size, _ in merged]
    by_operand = [[steps[i] for _, steps in merged] for i in range(len(strides))]
    return (len(merged), *sizes, *(step for each in by_operand for step in each))
