"""What the processes of a pool run together: each function runs in every one of them."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from tests.torch.cases import (
    Grads,
    Options,
    gradients,
    parameters,
    run,
    same_bits,
    twins,
)
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import (
    DTensor,
    Placement,
    Replicate,
    Shard,
    distribute_tensor,
)
from torch.distributed.tensor.placement_types import _StridedShard

from mementum.torch import MEMBERS, FamilyOptimizer
from mementum.torch.step import bucketing

WORLD = 4
Layout = tuple[tuple[int, ...], tuple[Placement, ...]]

ROWS, COLUMNS, WHOLE = Shard(0), Shard(1), Replicate()
# The shape of the mesh, and what each of its dimensions does.
LAYOUTS: dict[str, Layout] = {
    **{f"rows over {n}": ((n,), (ROWS,)) for n in range(1, WORLD + 1)},
    "columns over 3": ((3,), (COLUMNS,)),
    "copies": ((2,), (WHOLE,)),
    "copies of rows": ((2, 2), (WHOLE, ROWS)),
    "rows of columns": ((2, 2), (ROWS, COLUMNS)),
    "rows of rows": ((2, 2), (_StridedShard(0, split_factor=2), ROWS)),
}
MESHES: dict[tuple[int, ...], DeviceMesh] = {}

# Empty shards, uneven ones and vectors; `shapes_for` adds a matrix of float8 blocks.
SHAPES = ((3, 2), (7, 4), (1,), (5,), (4, 2, 3))
Formats = dict[str, tuple[torch.dtype, Options]]
FORMATS: Formats = {
    "float32": (torch.float32, {}),
    "bfloat16 moments": (torch.float32, {"state_dtype": "bfloat16"}),
    "float8 moments": (torch.float32, {"state_dtype": "float8"}),
    "bfloat16 rounded with noise": (
        torch.bfloat16,
        {"stochastic_rounding": True, "state_dtype": "float8"},
    ),
}


def join(rank: int, size: int, store: str) -> None:
    """Make one process group of a pool, and the meshes that the programs use."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=60),
    )
    for shape in sorted({shape for shape, _ in LAYOUTS.values()}):
        count = functools.reduce(int.__mul__, shape)
        MESHES[shape] = DeviceMesh("cpu", torch.arange(count).reshape(shape))


def size_of(layout: str) -> int:
    """Return how many processes a layout is for."""
    return functools.reduce(int.__mul__, LAYOUTS[layout][0])


def shapes_for(layout: str) -> tuple[tuple[int, ...], ...]:
    """Return shapes of which a layout cuts no float8 block."""
    return (*SHAPES, (5, 1536) if COLUMNS in LAYOUTS[layout][1] else (17, 300))


def spread(tensor: Tensor, layout: str) -> Tensor:
    """Return a leaf that is spread as a layout says, where it has the dimensions."""
    shape, placements = LAYOUTS[layout]
    fit = [_fitting(tensor, placement) for placement in placements]
    part = distribute_tensor(tensor.detach(), MESHES[shape], fit, src_data_rank=None)
    return part.requires_grad_(tensor.requires_grad)


def _fitting(tensor: Tensor, placement: Placement) -> Placement:
    dim = getattr(placement, "dim", -1)
    return placement if dim < tensor.dim() else Replicate()


def entire(value: Any) -> Any:
    """Return the whole of what may be spread over processes."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def bits(optimizer: torch.optim.Optimizer, params: Iterable[Tensor]) -> list[Any]:
    """Return the whole parameters and what is kept for each, to be compared."""
    kept: list[Any] = []
    for param in params:
        kept.append(entire(param.detach()))
        for name, value in sorted(optimizer.state.get(param, {}).items()):
            kept.append((name, entire(value)))
    return kept


def drive(
    optimizer: FamilyOptimizer,
    params: Sequence[Tensor],
    grads: Iterable[Grads],
) -> None:
    """Take a step with each of the gradients, spread as the parameters are."""
    for step in grads:
        for param, grad in zip(params, step, strict=True):
            param.grad = None if grad is None else like(param, grad)
        optimizer.step()


def like(param: Tensor, whole: Tensor) -> Tensor:
    """Return a tensor spread as a parameter is."""
    if not isinstance(param, DTensor):
        return whole.clone()
    mesh, placements = param.device_mesh, param.placements
    return distribute_tensor(whole, mesh, placements, src_data_rank=None)


def differing(
    layout: str,
    dtype: torch.dtype,
    options: Options,
    plain_every: int = 0,
    shapes: tuple[tuple[int, ...], ...] = (),
) -> list[str]:
    """Return the members whose sharded steps give other bits than whole ones.

    Every `plain_every`-th parameter is no DTensor.
    """
    params = parameters(dtype, shapes or shapes_for(layout))
    grads = gradients(params, 3)
    bad = []
    for member in MEMBERS:
        expected, single = run(member, params, grads, **options)
        own = [
            param if plain_every and i % plain_every == 0 else spread(param, layout)
            for i, param in enumerate(twins(params))
        ]
        optimizer = member(own, **options)
        drive(optimizer, own, grads)
        if not same_bits(bits(optimizer, own), bits(single, expected)):
            bad.append(member.__name__)
    return bad


def owned_between_steps(layout: str, dtype: torch.dtype, options: Options) -> list[int]:
    """Return how many moments, and then parameters, outlive being taken away."""
    whole = parameters(dtype, shapes_for(layout))
    params = [spread(p, layout) for p in whole]
    optimizer = MEMBERS[0](params, clip_norm=1.0, **options)
    for grads in gradients(whole, 3):
        for param, grad in zip(params, grads, strict=True):
            assert grad is not None
            param.grad = spread(grad, layout)
        optimizer.step()
    moments = [
        weakref.ref(value)
        for kept in optimizer.state.values()
        for value in kept.values()
        if isinstance(value, Tensor)
    ]
    gone = [weakref.ref(param) for param in params]
    optimizer.state.clear()
    counts = [sum(each() is not None for each in moments)]
    optimizer.param_groups[0]["params"] = [torch.nn.Parameter(torch.zeros(1))]
    del params, param, grads, grad
    gc.collect()
    return [*counts, sum(each() is not None for each in gone)]


def built_while_nothing_moves(layout: str, dtype: torch.dtype, options: Options) -> int:
    """Return how often buckets are found out anew after the second of six steps."""
    whole = parameters(dtype, shapes_for(layout))
    params = [spread(p, layout) for p in whole]
    optimizer = MEMBERS[0](params, **options)
    counts = []
    build = bucketing._GroupBuckets.build

    def counted(*args: Any) -> None:
        counts[-1] += 1
        build(*args)

    bucketing._GroupBuckets.build = counted  # type: ignore[method-assign]
    try:
        for grads in gradients(whole, 6):
            counts.append(0)
            drive(optimizer, params, [grads])
    finally:
        bucketing._GroupBuckets.build = build  # type: ignore[method-assign]
    return sum(counts[2:])
