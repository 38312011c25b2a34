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
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mementum.family.rule import Coefficients
from mementum.torch.backends.bucket import Bucket
from mementum.torch.groups.parameter_checks import repeats
from mementum.torch.state import rounding
from mementum.torch.state.formats import FLOAT8, MomentFormat, Stored
from mementum.torch.state.moments import MOMENTS

name = "native"
Array: TypeAlias = "array[int] | NDArray[Any]"

# As in native/kernel.h.
TYPES = {
    torch.float32: 0,
    torch.float64: 1,
    torch.bfloat16: 2,
    torch.float16: 3,
    FLOAT8.dtype: 4,
}
ISAS = ("baseline", "avx2", "avx512")
COLUMN_OF = {"momentum": "m", "square": "v", "peak": "k"}
# The arrays of a job, one entry a parameter.
COLUMNS = (
    *("p", "g", "m", "v", "k", "elements", "layouts", "first"),
    *("state_keys", "param_keys", "m_scales", "v_scales", "k_scales", "rows"),
)


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
        *((column, ctypes.c_void_p) for column in COLUMNS),
    )


class _Reading(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int32),
        ("isa", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("count", ctypes.c_int64),
        ("g", ctypes.c_void_p),
        ("elements", ctypes.c_void_p),
        ("layouts", ctypes.c_void_p),
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
    except OSError:
        return None
    return kernel if fits(kernel) else None


def fits(kernel: ctypes.CDLL) -> bool:
    """Whether a kernel is of this package's version."""
    try:
        size: int = kernel.mementum_job_size()
        kernel.mementum_square_sums  # noqa: B018
    except AttributeError:
        return False
    return size == ctypes.sizeof(_Job)


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
    kernel = library()
    assert kernel is not None
    if bucket.plan is None or bucket.plan.stored != _storage(bucket):
        bucket.plan = _plan(bucket)
    plan: Plan = bucket.plan
    job = plan.job
    columns: dict[str, Array] = {}
    for column, row in zip("pgmvk", bucket.rows(), strict=False):
        columns[column] = _pointers(row)
    for moment, scales in bucket.scales.items():
        column = COLUMN_OF[moment] + "_scales"
        columns[column] = array("q", map(Tensor.data_ptr, scales))
    if bucket.format.noisy:
        columns["state_keys"] = bucket.keys("state")
    if bucket.rounds_params:
        columns["param_keys"] = bucket.keys("parameter")
    for column, values in columns.items():
        setattr(job, column, _address(values))
    job.numbers[:] = c
    job.isa, job.threads = isa(), torch.get_num_threads()
    if kernel.mementum_step(ctypes.byref(job)):
        raise RuntimeError("the compiled kernel does not fit this package; rebuild it.")
    torch.autograd.graph.increment_version(bucket.params)


def square_sums(grads: list[Tensor]) -> list[float]:
    """Return the sum of the squares of each gradient, in float64.

    They are real, dense and on a CPU, and of one dtype. The order of the additions
    depends on their elements alone.
    """
    kernel = library()
    assert kernel is not None
    pointers = _pointers(grads)
    elements = array("q", map(Tensor.numel, grads))
    kept: list[Array] = []
    layouts = array("q")
    for grad in grads:
        place = 0
        if not grad.is_contiguous():
            kept.append(array("q", (grad.dim(), *grad.shape, *grad.stride())))
            place = _address(kept[-1])
        layouts.append(place)
    sums = np.empty(len(grads))
    reading = _Reading(
        TYPES[grads[0].dtype],
        isa(),
        torch.get_num_threads(),
        len(grads),
        _address(pointers),
        _address(elements),
        _address(layouts),
    )
    to = ctypes.c_void_p(_address(sums))
    if kernel.mementum_square_sums(ctypes.byref(reading), to):
        raise RuntimeError("the compiled kernel does not fit this package; rebuild it.")
    found: list[float] = sums.tolist()
    return found


def _pointers(tensors: list[Tensor]) -> array[int]:
    pointers = list(map(Tensor.data_ptr, tensors))
    if not all(pointers):
        i = pointers.index(0)
        if tensors[i].numel():
            raise RuntimeError(
                f"a tensor of shape {tuple(tensors[i].shape)} that the step wants has "
                "no memory: its storage was freed, or it is a lazy zero; clone() it."
            )
    return array("q", pointers)


def _address(column: Array | None) -> int:
    if column is None:
        return 0
    if isinstance(column, np.ndarray):
        return int(column.ctypes.data)
    return column.buffer_info()[0]


class Plan(NamedTuple):
    """What a bucket's shapes, strides and dtypes say: they hold as long as it does.

    `job` has them, and waits for what is new at every step; `kept` are the arrays that
    it points at.
    """

    stored: tuple[bool, MomentFormat]
    job: _Job
    kept: list[Array]


def _storage(bucket: Bucket) -> tuple[bool, MomentFormat]:
    """Return what a plan hangs on beside shapes: how numbers are rounded and stored."""
    return bucket.rounds_params, bucket.format


def _plan(bucket: Bucket) -> Plan:
    param, grad, moment = (TYPES[row[0].dtype] for row in bucket.rows()[:3])
    columns: dict[str, Array] = {
        "elements": array("q", map(Tensor.numel, bucket.params))
    }
    kept: list[Array] = []
    layouts = array("q")
    for i in range(len(bucket.params)):
        if described := _described(*_strides(bucket, i), blocked=bool(bucket.scales)):
            kept.append(array("q", described))
        layouts.append(_address(kept[-1]) if described else 0)
    if kept:
        columns["layouts"] = layouts
    if bucket.numberings:
        columns["first"] = array("q", [each.first for each in bucket.numberings])
    if bucket.scales:
        columns["rows"] = array("q", [p.numel() // p.shape[0] for p in bucket.params])
        for name in MOMENTS[: len(bucket.scales)]:
            _refuse_strides(bucket.stored(i, name) for i in range(len(bucket.params)))
    job = _Job(param=param, grad=grad, state=moment, count=len(bucket.params))
    job.rounds_param = bucket.rounds_params
    for column, values in columns.items():
        setattr(job, column, _address(values))
    return Plan(_storage(bucket), job, [*columns.values(), *kept])


def _strides(
    bucket: Bucket, i: int
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Return a parameter's shape, and the strides of its operands and numbers."""
    p, g, m, v, *k = (row[i] for row in bucket.rows())
    for written in (p, m, v, *k):
        if not written.is_contiguous() and repeats(written):
            raise RuntimeError(
                f"a parameter of shape {tuple(p.shape)}, or a moment of it, has "
                "several elements at one place in memory; replace it by its clone()."
            )
    moments = (m, v, k[0] if k else v)
    if bucket.scales:
        moments = (p, p, p)
    numbers = p.stride()
    if bucket.noisy:
        own = bucket.numberings[i] if bucket.numberings else rounding.whole(p.shape)
        numbers = own.strides
    operands = (p, g, *moments)
    return tuple(p.shape), (*(x.stride() for x in operands), numbers)


def _refuse_strides(moments: Iterable[Stored]) -> None:
    for stored in moments:
        if not all(map(Tensor.is_contiguous, stored)):
            raise RuntimeError(
                "a parameter's float8 moments are no longer contiguous, as their codes "
                "and scales must be; make them so with contiguous()."
            )


class Dim(NamedTuple):
    """A dimension of a layout: its size, and each operand's stride along it."""

    size: int
    steps: tuple[int, ...]


@functools.lru_cache(maxsize=4096)
def _described(
    shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...], *, blocked: bool
) -> tuple[int, ...]:
    """Return rank, sizes and strides for the kernel; nothing if all lie as numbered.

    `strides` are those of p, g, m, v, k and of the elements' numbers.
    """
    dims = [
        Dim(size, tuple(stride[d] for stride in strides))
        for d, size in enumerate(shape)
        if size != 1 or (blocked and d == 0)
    ]
    if blocked:
        dims = [dims[0], *_merged(dims[1:])]
        dense = rounding.whole(torch.Size(dim.size for dim in dims)).strides
        if all(dim.steps == (step,) * 6 for dim, step in zip(dims, dense, strict=True)):
            return ()
    else:
        dims = _merged(sorted(dims, key=lambda dim: dim.steps[0], reverse=True))
        if not dims or (len(dims) == 1 and set(dims[0].steps) == {1}):
            return ()
        dims = _fast_last(dims)
    by_operand = zip(*(dim.steps for dim in dims), strict=True)
    sizes = (dim.size for dim in dims)
    return (len(dims), *sizes, *(step for each in by_operand for step in each))


def _merged(dims: list[Dim]) -> list[Dim]:
    """Join neighbours that every operand steps through as one."""
    merged: list[Dim] = []
    for dim in dims:
        if merged and merged[-1].steps == tuple(step * dim.size for step in dim.steps):
            merged[-1] = Dim(merged[-1].size * dim.size, dim.steps)
        else:
            merged.append(dim)
    return merged


def _fast_last(dims: list[Dim]) -> list[Dim]:
    """Put that dimension last along which most operands are fastest, and then others.

    A gradient is only read, and a number is not in memory: they count for less.
    """
    votes = dict.fromkeys(dims, 0)
    for operand, weight in enumerate((2, 1, 2, 2, 2, 0)):
        votes[min(dims, key=lambda dim: dim.steps[operand])] += weight
    return sorted(dims, key=lambda dim: votes[dim])
