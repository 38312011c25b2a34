"""The kernel on a GPU, by Triton: one launch runs over a whole bucket, in one pass.

Its operations and their order are the loop's, so both give the same bits, NaN payloads
apart. The host waits for nothing: what it knows goes along with the launch, and what
the device alone knows is read there.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mementum.family.rule import Coefficients, plainly
from mementum.torch.backends import layout, native
from mementum.torch.backends.bucket import Bucket
from mementum.torch.backends.guard import pointers
from mementum.torch.backends.triton import availability, plan
from mementum.torch.backends.triton.agreement import PIECE
from mementum.torch.backends.triton.plan import Plan
from mementum.torch.backends.triton.upload import Table, current, stream

name = "triton"
device: str | None = "cpu" if availability.is_interpreted() else "cuda"
guard = native.guard

_WARPS = 4


def refuses(flags: Mapping[str, Any], param: Tensor) -> str | None:
    """Return why parameters like this one cannot run here, or None if they can."""
    if (reason := native.refuses_flags(flags)) is not None:
        return reason
    if (reason := availability.refuses(param.device)) is not None:
        return reason
    if type(param).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return f"a {type(param).__name__} keeps its elements elsewhere"
    if not layout.is_dense(param):
        return (
            f"a parameter of shape {tuple(param.shape)} has strides {param.stride()}, "
            "with gaps between its elements"
        )
    return None


def ready(bucket: Bucket) -> None:
    """Find out where the tensors of a bucket lie, and refuse what no step can use.

    Errors: `RuntimeError` for memory that was freed or repeats.
    """
    if bucket.plan is None or not bucket.plan.fits(bucket):
        with current(bucket.params[0].device):
            bucket.plan = plan.build(bucket)
    bucket.addresses = bucket.addresses or pointers(bucket.all_rows())


def update(c: Coefficients, bucket: Bucket) -> None:
    """Take one step for all parameters of the bucket."""
    known: Plan = plan.kept_for_graphs(bucket.plan)
    with current(bucket.params[0].device):
        moments = known.relay(bucket)
        _launch(c, bucket, known)
        for moment, copy in moments:
            moment.copy_(copy)
    torch.autograd.graph.increment_version(bucket.params)


def _launch(c: Coefficients, bucket: Bucket, known: Plan) -> None:
    scale = c.scale if isinstance(c.scale, Tensor) else None
    table = _table(c, bucket, known)
    terms = _terms(c)
    kind = _kind(
        *(row[0].dtype for row in bucket.rows()[:3]),
        computed=bucket.dtype,
        rounds=bucket.rounds_params,
        peak=bool(bucket.peak),
        tabled=table is not None,
        counted=bucket.noisy and isinstance(bucket.step, Tensor),
        scaled=table is None and scale is not None,
        skips=bucket.skip is not None,
        rank=known.rank,
        wide=known.wide,
        **terms,
    )
    assert bucket.addresses is not None
    work = known.work
    host = table is None
    _kernels().step[(len(work),)](
        work,
        known.addresses.update(np.frombuffer(bucket.addresses, dtype=np.int64)),
        known.facts,
        work if table is None else table,
        bucket.step if kind.counted else work,
        work if scale is None else scale.to(work.device),
        work if bucket.skip is None else bucket.skip.view(torch.uint8),
        len(bucket.params),
        0 if table is None or len(table) == 1 else len(c),
        0 if isinstance(bucket.step, Tensor) else bucket.step,
        *(0.0 if isinstance(n, Tensor) or not host else n for n in c),
        KIND=kind,
        num_warps=_WARPS,
        enable_fp_fusion=False,
    )


def _terms(c: Coefficients) -> dict[str, Any]:
    """Return which terms a step has, beside those of them all.

    One without a term does not add zero times it, which would make NaN of an infinity.
    """
    square = direct = "both"
    if plainly(c.square_m, 0):
        square = "gradient"
    elif plainly(c.square_g, 0):
        square = "momentum"
    if plainly(c.step_g, 0):
        direct = "momentum"
    elif plainly(c.step_m, 0):
        direct = "gradient"
    return {
        "pull": not plainly(c.pull, 0),
        "square": square,
        "direct": direct,
        "shrinks": not plainly(c.shrink, 0),
    }


def _table(c: Coefficients, bucket: Bucket, known: Plan) -> Tensor | None:
    """Return numbers that no launch can be told as they are, one row for all or each.

    They are float64, which would be rounded, or on the device.
    """
    at, count = bucket.params[0].device, len(bucket.params)
    if any(isinstance(number, Tensor) for number in c[1:]):
        columns = [_column(number, count, at) for number in c]
        return torch.stack(columns, 1).to(bucket.dtype)
    if bucket.dtype != torch.float64:
        return None
    if not isinstance(c.scale, Tensor):
        return known.numbers.update(np.array([c], dtype=np.float64))
    rest = known.numbers.update(np.array([c[1:]], dtype=np.float64))
    return torch.cat([_column(c.scale, 1, at)[:, None], rest], 1)


def _column(number: Any, count: int, at: torch.device) -> Tensor:
    """Return a number of all parameters, or one each, in float64."""
    if isinstance(number, Tensor) and (number.dim() or number.device.type != "cpu"):
        return number.to(device=at, dtype=torch.float64).expand(count)
    # The host knows the number, be it in a tensor, without waiting for the device.
    return torch.full((count,), float(number), dtype=torch.float64, device=at)


@functools.cache
def _kernels() -> SimpleNamespace:
    """Return the kernels, which import Triton, and its names of dtypes."""
    import triton.language as tl

    from mementum.torch.backends.triton.kernels import rule, squares, step

    types = {
        torch.float32: tl.float32,
        torch.float64: tl.float64,
        torch.bfloat16: tl.uint16,
        torch.float16: tl.float16,
        torch.uint8: tl.uint8,
    }
    return SimpleNamespace(
        step=step.step,
        pieces=squares.pieces,
        totals=squares.totals,
        kind=rule.Kind,
        types=types,
        index={False: tl.int32, True: tl.int64},
    )


@functools.lru_cache(maxsize=256)
def _kind(
    param: torch.dtype,
    grad: torch.dtype,
    state: torch.dtype,
    *,
    computed: torch.dtype,
    wide: bool,
    **others: Any,
) -> Any:
    """Return what a kernel is compiled for: see kernels/rule.py."""
    kernels = _kernels()
    types = (kernels.types[dtype] for dtype in (param, grad, state, computed))
    return kernels.kind(*types, index=kernels.index[wide], **others)


def square_sums(grads: list[Tensor]) -> Tensor:
    """Return the sum of squares of each gradient, in float64.

    They are real and dense; the sums lie on the first one's device. The order of the
    additions depends on a gradient's size alone.
    """
    alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for i, grad in enumerate(grads):
        alike.setdefault((grad.device, grad.dtype), []).append(i)
    found: dict[int, Tensor] = {}
    for (at, dtype), places in alike.items():
        with current(at):
            own = _square_sums([grads[i] for i in places], dtype)
        if len(alike) == 1:
            return own
        found.update(zip(places, own.to(grads[0].device).unbind(), strict=True))
    return torch.stack([found[i] for i in range(len(grads))])


@functools.lru_cache(maxsize=16)
def _told(count: int, at: torch.device, stream: int) -> Table:
    """Return a table for what is told of so many gradients."""
    return Table(at)


def _square_sums(grads: list[Tensor], dtype: torch.dtype) -> Tensor:
    kernels, at = _kernels(), grads[0].device
    dense = [x if layout.is_dense(x) else x.contiguous() for x in grads]
    elements = np.array([x.numel() for x in dense], dtype=np.int64)
    pieces = -(-elements // PIECE)
    work = plan.work_of(tuple(pieces.tolist()), at)
    ends = np.concatenate(([0], np.cumsum(pieces)))
    places = np.frombuffer(pointers([dense]), dtype=np.int64)
    count = len(dense)
    told = _told(count, at, stream(at)).update(np.concatenate((places, elements, ends)))
    partial = torch.empty(len(work), dtype=torch.float64, device=at)
    sums = torch.empty(count, dtype=torch.float64, device=at)
    options = {"num_warps": _WARPS, "enable_fp_fusion": False}
    kernels.pieces[(len(work),)](
        work, told, partial, count, GRAD=kernels.types[dtype], **options
    )
    kernels.totals[(count,)](partial, told, sums, count, **options)
    return sums
