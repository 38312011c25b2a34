"""What a launch is told of a bucket, found out once from shapes, strides and dtypes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mementum.family import noise
from mementum.torch.backends import layout
from mementum.torch.backends.bucket import Bucket
from mementum.torch.backends.capture import capturing, keep_for_graphs
from mementum.torch.backends.guard import pointers
from mementum.torch.backends.triton.agreement import (
    BLOCKS,
    DIMENSIONS,
    ELEMENTS,
    FIRST,
    FLAT,
    PARAM_IDENTITY,
    ROW,
    ROW_NUMBERS,
    ROW_PLACES,
    STATE_IDENTITY,
)
from mementum.torch.backends.triton.upload import (
    Table,
    stream,
    uploaded,
)
from mementum.torch.state import rounding
from mementum.torch.state.formats import MomentFormat
from mementum.torch.state.rounding import Numbering

_Dims = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Plan:
    """What holds as long as a bucket's shapes, strides and dtypes do.

    `work` has an entry for each program, ``parameter << 32 | piece``, and `facts` are
    those of agreement.py. `rank` and `wide` say how elements are found.
    `addresses` and `numbers` are told at every step. What lies otherwise than its
    parameter, `relaid`, is stepped in a copy.
    """

    stored: tuple[Any, ...]
    work: Tensor
    facts: Tensor
    rank: int
    wide: bool
    addresses: Table
    numbers: Table
    relaid: list[tuple[str, int]]
    of_graph: bool

    def fits(self, bucket: Bucket) -> bool:
        """Whether the plan, made for this bucket, still says how it is stepped.

        What a capture uploads is there after a replay, and not before.
        """
        return self.stored == _stored(bucket) and not self.of_graph

    def relay(self, bucket: Bucket) -> list[tuple[Tensor, Tensor]]:
        """Put copies in the parameter's strides where a gradient or moment has others.

        Return the moments among them, each with the copy that a step changes.
        """
        moments = []
        for name, i in self.relaid:
            row: list[Tensor] = getattr(bucket, name)
            copy = torch.empty_like(bucket.params[i], dtype=row[i].dtype).copy_(row[i])
            if name != "grads":
                moments.append((row[i], copy))
            row[i] = copy
        if self.relaid:
            bucket.addresses = pointers(bucket.all_rows())
        return moments


def _stored(bucket: Bucket) -> tuple[Any, ...]:
    """Return what a plan hangs on beside shapes, strides and dtypes."""
    form: MomentFormat = bucket.format
    return bucket.rounds_params, form, bucket.seed if bucket.noisy else None


def build(bucket: Bucket) -> Plan:
    """Return the plan of a bucket.

    Errors: `RuntimeError` for what is written and has two elements at one place.
    """
    for i in range(len(bucket.params)):
        layout.refuse_repeats(bucket, i)
    layout.refuse_strided_codes(bucket)
    device = bucket.params[0].device
    dims = [_dims(bucket, i) for i in range(len(bucket.params))]
    rank = max(map(len, dims))
    return Plan(
        stored=_stored(bucket),
        work=work_of(_pieces(bucket), device),
        facts=uploaded(_facts(bucket, dims, rank), device),
        rank=rank,
        wide=max(param.numel() for param in bucket.params) >= 1 << 31,
        addresses=Table(device),
        numbers=Table(device),
        relaid=list(_relaid(bucket)),
        of_graph=capturing(),
    )


def _relaid(bucket: Bucket) -> list[tuple[str, int]]:
    """Return what has other strides than its parameter, float8 codes apart."""
    names = ["grads"] if bucket.scales else ["grads", "momentum", "square", "peak"]
    return [
        (name, i)
        for name in names
        for i, tensor in enumerate(getattr(bucket, name))
        if not layout.lies_alike(tensor, bucket.params[i])
    ]


def _numbering(bucket: Bucket, i: int) -> Numbering:
    if bucket.numberings:
        return bucket.numberings[i]
    return rounding.whole(bucket.params[i].shape)


def _dims(bucket: Bucket, i: int) -> _Dims:
    """Return sizes and strides that tell elements apart, or nothing if none need to.

    They lead from an element's place in memory to its number, where there is noise; or,
    where codes of float8 lie in another order, from its place in a row to that of the
    parameter.
    """
    param = bucket.params[i]
    if bucket.scales:
        if param.is_contiguous():
            return ()
        return layout.merged(param.shape[1:], param.stride()[1:])
    if not bucket.noisy:
        return ()
    numbers = _numbering(bucket, i).strides
    order = sorted(range(param.dim()), key=param.stride, reverse=True)
    dims = layout.merged(
        [param.shape[d] for d in order],
        [param.stride(d) for d in order],
        [numbers[d] for d in order],
    )
    return () if dims in ((), ((param.numel(), 1),)) else dims


def _pieces(bucket: Bucket) -> tuple[int, ...]:
    """Return how many programs each parameter wants."""
    if not bucket.scales:
        return tuple(-(-param.numel() // FLAT) for param in bucket.params)
    rows = (rounding.blocks(param.shape) for param in bucket.params)
    return tuple(-(-row * count // BLOCKS) for row, count in rows)


def _facts(bucket: Bucket, dims: list[_Dims], rank: int) -> NDArray[np.int64]:
    """Return a table with a column a parameter, of the rows of agreement.py."""
    facts = np.zeros((DIMENSIONS + 2 * rank, len(bucket.params)), dtype=np.int64)
    # Of dimensions that are not there, the sizes.
    facts[DIMENSIONS::2] = 1
    for i, param in enumerate(bucket.params):
        numbering = _numbering(bucket, i)
        facts[ELEMENTS, i], facts[FIRST, i] = param.numel(), numbering.first
        if bucket.scales:
            facts[ROW, i] = param.numel() // param.shape[0]
            facts[ROW_NUMBERS, i] = numbering.strides[0]
            facts[ROW_PLACES, i] = param.stride(0)
        each = dims[i] or (((param.numel(), 1),) if rank else ())
        for row, fact in enumerate(itertools.chain.from_iterable(reversed(each))):
            facts[DIMENSIONS + row, i] = fact
        if bucket.noisy:
            facts[STATE_IDENTITY, i] = _identity(bucket, i, "state")
            facts[PARAM_IDENTITY, i] = _identity(bucket, i, "parameter")
    return facts


def _identity(bucket: Bucket, i: int, purpose: Literal["state", "parameter"]) -> int:
    """Return what stands for a parameter in the noise, in int64."""
    identity = noise.identity(bucket.seed, bucket.places[i], purpose)
    return rounding.signed(identity, 64)


_works: dict[tuple[Any, ...], Tensor] = {}
_MOST_WORKS = 64


def work_of(pieces: tuple[int, ...], device: torch.device) -> Tensor:
    """Return an entry for each piece of each tensor, on a device."""
    # Another stream would not wait for the upload.
    key = pieces, device, stream(device)
    known = _works.get(key)
    if known is not None:
        if capturing():
            keep_for_graphs(known)
        return known
    work = uploaded(entries(pieces), device)
    # What a capture uploads is there after a replay, and not before.
    if not capturing():
        if len(_works) >= _MOST_WORKS:
            del _works[next(iter(_works))]
        _works[key] = work
    return work


def entries(pieces: tuple[int, ...]) -> NDArray[np.int64]:
    """Return ``tensor << 32 | piece`` for each piece of each tensor."""
    counts = np.array(pieces, dtype=np.int64)
    ends = np.cumsum(counts)
    tensor = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    piece = np.arange(ends[-1], dtype=np.int64) - np.repeat(ends - counts, counts)
    found: NDArray[np.int64] = tensor << 32 | piece
    return found


def kept_for_graphs(plan: Plan) -> Plan:
    """Return a plan, which stays if a graph is being captured."""
    if capturing():
        keep_for_graphs(plan)
    return plan
