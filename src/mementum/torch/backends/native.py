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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mementum.family.rule import Coefficients
from mementum.torch.backends import layout
from mementum.torch.backends.bucket import Bucket
from mementum.torch.backends.guard import (
    DLPackGuard,
    Guard,
    Rows,
    TensorGuard,
    exchange,
    pointers,
)
from mementum.torch.state.formats import FLOAT8, MomentFormat

name = "native"
device: str | None = "cpu"
_Array: TypeAlias = "array[int] | NDArray[Any]"

# As in native/kernel.h.
_TYPES = {
    torch.float32: 0,
    torch.float64: 1,
    torch.bfloat16: 2,
    torch.float16: 3,
    FLOAT8.dtype: 4,
}
ISAS = ("baseline", "avx2", "avx512")
THREADS = ("torch", "own")
# Why there are no others: mementum_pools.
_OWN_THREADS = {
    1: "no OpenMP runtime was found in this process",
    2: "this process is a fork",
}
_COLUMN_OF = {"momentum": "m", "square": "v", "peak": "k"}
# The arrays of a job, one entry a parameter.
_COLUMNS = (
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
        ("own_threads", ctypes.c_int32),
        ("rounds_param", ctypes.c_int32),
        ("count", ctypes.c_int64),
        *((column, ctypes.c_void_p) for column in _COLUMNS),
    )


class _Reading(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int32),
        ("isa", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("own_threads", ctypes.c_int32),
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
        kernel.mementum_locate  # noqa: B018
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
    asked = os.environ.get("MEMENTUM_ISA") or ISAS[best]
    if asked not in ISAS:
        raise ValueError(f"MEMENTUM_ISA is {asked!r}; it is one of {', '.join(ISAS)}.")
    return min(best, ISAS.index(asked))


@functools.cache
def asks_for_own_threads() -> bool:
    """Whether MEMENTUM_THREADS asks for threads of the kernel's own.

    Errors: `ValueError` if it is none of `THREADS`.
    """
    asked = os.environ.get("MEMENTUM_THREADS") or THREADS[0]
    if asked not in THREADS:
        known = " or ".join(THREADS)
        raise ValueError(f"MEMENTUM_THREADS is {asked!r}; it is {known}.")
    return asked == "own"


def threads() -> str:
    """Return whose threads run the kernel, and how many at most, in words."""
    kernel = library()
    assert kernel is not None
    count = torch.get_num_threads()
    file = ctypes.c_char_p()
    pool: int = kernel.mementum_pool(ctypes.byref(file))
    if asks_for_own_threads():
        why = "MEMENTUM_THREADS asks for them"
    elif pool == 0:
        name = Path(os.fsdecode(file.value or b"")).name
        return f"up to {count} of the OpenMP runtime in this process, {name}"
    else:
        why = _OWN_THREADS[pool]
    return f"up to {count} of the kernel's own, as {why}"


def refuses_flags(flags: Mapping[str, Any]) -> str | None:
    """Return why a kernel, on whatever device, cannot serve these flags, or None."""
    if flags["differentiable"]:
        return "differentiable is True, and the kernel cannot be differentiated"
    if flags["fused"] is False:
        return "fused=False asks for another path"
    if flags["foreach"] is not None and not flags["fused"]:
        return f"foreach={flags['foreach']} asks for another path"
    return None


def refuses(flags: Mapping[str, Any], param: Tensor) -> str | None:
    """Return why parameters like this one cannot run here, or None if they can."""
    if library() is None:
        return "the kernel was not built; `mementum doctor` says why"
    if flags["capturable"]:
        return "capturable is True, and the kernel takes its numbers from the host"
    if (reason := refuses_flags(flags)) is not None:
        return reason
    if param.device.type != "cpu":
        return f"the kernel runs on the CPU, and not on {param.device.type}"
    if type(param).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return f"a {type(param).__name__} keeps its elements elsewhere"
    return None


def guard(rows: Rows) -> Guard:
    """Return what remembers of what kind tensors are, and tells where they lie.

    A complex conjugate is to DLPack what its original is.
    """
    locate, how = _locate(), exchange()
    if locate is None or how is None or rows[0][0].is_complex():
        return TensorGuard(rows)
    return DLPackGuard(rows, locate, how)


@functools.cache
def _locate() -> Any:
    """Return the kernel's function that asks Python objects, with Python's lock."""
    kernel = library()
    if kernel is None:
        return None
    locate = ctypes.PyDLL(kernel._name).mementum_locate
    locate.argtypes = (
        *(ctypes.c_void_p, ctypes.py_object, ctypes.c_int64, ctypes.c_int64),
        *(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p),
    )
    return locate


def ready(bucket: Bucket) -> None:
    """Find out where the tensors of a bucket lie, and refuse what no step can use.

    Errors: `RuntimeError` for memory that was freed or repeats, `ValueError` for a word
    in the environment that is none.
    """
    if bucket.plan is None or bucket.plan.stored != _storage(bucket):
        bucket.plan = _plan(bucket)
    plan: _Plan = bucket.plan
    addresses = bucket.addresses or pointers(bucket.all_rows())
    if plan.addresses is not addresses:
        plan.point_at(addresses, bucket)
    plan.job.isa, plan.job.threads = isa(), torch.get_num_threads()
    plan.job.own_threads = asks_for_own_threads()


def update(c: Coefficients, bucket: Bucket) -> None:
    """Take one step for all parameters of the bucket."""
    kernel = library()
    assert kernel is not None
    job = bucket.plan.job
    keys: dict[str, _Array] = {}
    if bucket.format.noisy:
        keys["state_keys"] = bucket.keys("state")
    if bucket.rounds_params:
        keys["param_keys"] = bucket.keys("parameter")
    for column, values in keys.items():
        setattr(job, column, _address(values))
    job.numbers[:] = c
    if kernel.mementum_step(ctypes.byref(job)):
        raise RuntimeError("the compiled kernel does not fit this package; rebuild it.")
    torch.autograd.graph.increment_version(bucket.params)


def square_sums(grads: list[Tensor]) -> Tensor:
    """Return the sum of the squares of each gradient, in float64.

    They are real, dense and on a CPU. The order of the additions depends on a
    gradient's elements alone.
    """
    sums = np.empty(len(grads))
    by_dtype: dict[torch.dtype, list[int]] = {}
    for i, grad in enumerate(grads):
        by_dtype.setdefault(grad.dtype, []).append(i)
    for dtype, indices in by_dtype.items():
        sums[indices] = _square_sums([grads[i] for i in indices], dtype)
    return torch.from_numpy(sums)


def _square_sums(grads: list[Tensor], dtype: torch.dtype) -> NDArray[np.float64]:
    kernel = library()
    assert kernel is not None
    places = pointers([grads])
    elements = array("q", map(Tensor.numel, grads))
    kept: list[_Array] = []
    layouts = array("q")
    for grad in grads:
        place = 0
        if not grad.is_contiguous():
            kept.append(array("q", (grad.dim(), *grad.shape, *grad.stride())))
            place = _address(kept[-1])
        layouts.append(place)
    sums = np.empty(len(grads))
    reading = _Reading(
        _TYPES[dtype],
        isa(),
        torch.get_num_threads(),
        asks_for_own_threads(),
        len(grads),
        _address(places),
        _address(elements),
        _address(layouts),
    )
    to = ctypes.c_void_p(_address(sums))
    if kernel.mementum_square_sums(ctypes.byref(reading), to):
        raise RuntimeError("the compiled kernel does not fit this package; rebuild it.")
    return sums


def _address(column: _Array | None) -> int:
    if column is None:
        return 0
    if isinstance(column, np.ndarray):
        return int(column.ctypes.data)
    return column.buffer_info()[0]


@dataclass(slots=True)
class _Plan:
    """What a bucket's shapes, strides and dtypes say: they hold as long as it does.

    `job` has them, and waits for what is new at every step; `kept` are the arrays that
    it points at, and `addresses` those of the tensors, row after row.
    """

    stored: tuple[bool, MomentFormat]
    job: _Job
    kept: list[_Array]
    addresses: array[int] | None = None

    def point_at(self, addresses: array[int], bucket: Bucket) -> None:
        """Let the job point at the addresses of a bucket's tensors."""
        self.addresses = addresses
        place, size = _address(addresses), addresses.itemsize * len(bucket.params)
        columns = [*"pgmvk"[: len(bucket.rows())]]
        columns += [_COLUMN_OF[moment] + "_scales" for moment in bucket.scales]
        for column in columns:
            setattr(self.job, column, place)
            place += size


def _storage(bucket: Bucket) -> tuple[bool, MomentFormat]:
    """Return what a plan hangs on beside shapes: how numbers are rounded and stored."""
    return bucket.rounds_params, bucket.format


def _plan(bucket: Bucket) -> _Plan:
    param, grad, moment = (_TYPES[row[0].dtype] for row in bucket.rows()[:3])
    columns: dict[str, _Array] = {
        "elements": array("q", map(Tensor.numel, bucket.params))
    }
    kept: list[_Array] = []
    layouts = array("q")
    for i in range(len(bucket.params)):
        if description := layout.described(bucket, i):
            kept.append(array("q", description))
        layouts.append(_address(kept[-1]) if description else 0)
    if kept:
        columns["layouts"] = layouts
    if bucket.numberings:
        columns["first"] = array("q", [each.first for each in bucket.numberings])
    if bucket.scales:
        columns["rows"] = array("q", [p.numel() // p.shape[0] for p in bucket.params])
        layout.refuse_strided_codes(bucket)
    job = _Job(param=param, grad=grad, state=moment, count=len(bucket.params))
    job.rounds_param = bucket.rounds_params
    for column, values in columns.items():
        setattr(job, column, _address(values))
    return _Plan(_storage(bucket), job, [*columns.values(), *kept])
