"""Parameters that are spread over processes: which of their elements are here.

The family is elementwise, so each process steps the elements it holds, and no step
communicates. What a whole parameter would give is given: its noise is numbered by the
place of an element in the whole, and its float8 blocks are never split.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor

from mementum.family.rounding import BLOCK
from mementum.torch.state.rounding import Numbering, blocks, whole

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor, Placement

_Ranges = list[range]


def is_sharded(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether a tensor is a DTensor, be it only replicated."""
    # Where that module was not imported, there are none; importing it takes a second.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def spread(tensor: Tensor) -> Any:
    """Return an object that says how a tensor is spread: the same while that stays.

    Of a tensor that is not spread, or does not say, it is another each time.
    """
    return getattr(tensor, "_spec", None) or object()


def local(tensor: Tensor) -> Tensor:
    """Return the elements of a tensor that this process holds."""
    if not is_sharded(tensor):
        return tensor
    if torch.is_grad_enabled():
        with torch.no_grad():
            return local(tensor)
    here = tensor.to_local()
    # One that is still being communicated waits for itself.
    wait = getattr(here, "wait", None)
    return here if wait is None else wait()


def local_grad(param: Tensor) -> Tensor:
    """Return the elements of a gradient that belong to those of its parameter.

    A gradient that is spread otherwise is redistributed, as a sum that is not yet taken
    over the processes. Errors: `ValueError` if it is spread over other processes.
    """
    refuse_gradient(param)
    grad = param.grad
    assert grad is not None
    if not is_sharded(param) or not is_sharded(grad):
        return grad
    if grad.placements != param.placements:
        with torch.no_grad():
            grad = grad.redistribute(placements=param.placements)
    return local(grad)


def refuse_gradient(param: Tensor) -> None:
    """Refuse a gradient that is spread over other processes than its parameter.

    Errors: `ValueError`.
    """
    grad = param.grad
    if grad is None or not is_sharded(param):
        return
    if not is_sharded(grad) or not _same_mesh(param, grad):
        found = grad.device_mesh if is_sharded(grad) else "one process"
        raise ValueError(
            f"the gradient of a parameter of shape {tuple(param.shape)} is on {found}, "
            f"and the parameter on {param.device_mesh}; bring the gradient there with "
            "distribute_tensor()."
        )


def alike(param: Tensor, moment: Tensor) -> bool:
    """Whether a moment is spread over processes as its parameter is."""
    if not is_sharded(param) or not is_sharded(moment):
        return is_sharded(param) == is_sharded(moment)
    return _same_mesh(param, moment) and param.placements == moment.placements


def _same_mesh(a: DTensor, b: DTensor) -> bool:
    return a.device_mesh is b.device_mesh or a.device_mesh == b.device_mesh


def refuse_derivatives(params: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse to differentiate through steps of which other processes take parts.

    Errors: `NotImplementedError` with the name of the parameter.
    """
    for name, param in params:
        if is_sharded(param):
            raise NotImplementedError(
                f"differentiable is True and {name} is a DTensor, and no derivative "
                "runs through the steps of other processes; pass plain tensors."
            )


def anywhere(found: Sequence[bool], tensors: Sequence[Tensor]) -> list[bool]:
    """Return what was found about each tensor here or in a process that shares it.

    Every process that shares one must ask, and in the same order.
    """
    answers = list(found)
    by_mesh: dict[DeviceMesh, list[int]] = {}
    for i, tensor in enumerate(tensors):
        if is_sharded(tensor) and tensor.device_mesh.get_coordinate() is not None:
            by_mesh.setdefault(tensor.device_mesh, []).append(i)
    for mesh, indices in by_mesh.items():
        flags = [answers[i] for i in indices]
        sent = torch.tensor(flags, dtype=torch.int32, device=mesh.device_type)
        for dim in range(mesh.ndim):
            most = torch.distributed.ReduceOp.MAX
            torch.distributed.all_reduce(sent, most, group=mesh.get_group(dim))
        for i, flag in zip(indices, sent.tolist(), strict=True):
            answers[i] = bool(flag)
    return answers


def added(numbers: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    """Return a number for each tensor, added over the processes that hold shards of it.

    Every process that shares one must ask, and in the same order.
    """
    by_mesh: dict[tuple[DeviceMesh, tuple[int, ...]], list[int]] = {}
    for i, tensor in enumerate(tensors):
        if is_sharded(tensor) and tensor.device_mesh.get_coordinate() is not None:
            over = enumerate(map(_dim, tensor.placements))
            dims = tuple(dim for dim, sharded in over if sharded is not None)
            by_mesh.setdefault((tensor.device_mesh, dims), []).append(i)
    for (mesh, dims), indices in by_mesh.items():
        part = numbers[indices].to(mesh.device_type)
        for dim in dims:
            torch.distributed.all_reduce(part, group=mesh.get_group(dim))
        numbers[indices] = part.to(numbers.device)
    return numbers


# --- which elements -------------------------------------------------------------------


def numbering(param: Tensor) -> Numbering:
    """Return which elements of the whole parameter are here.

    Errors: `ValueError` if they are interleaved with another process's.
    """
    shape = tuple(param.shape)
    if not is_sharded(param):
        return numbered(shape, list(map(range, shape)))
    coordinate = param.device_mesh.get_coordinate()
    if coordinate is None:
        return numbered(shape, [range(0) for _ in shape])
    mesh = param.device_mesh.shape
    refuse_interleaved(shape, mesh, param.placements)
    return numbered(shape, part(shape, mesh, coordinate, param.placements))


def numbered(shape: Sequence[int], held: Sequence[range]) -> Numbering:
    """Return the numbering of the elements at these indices of each dimension."""
    _, strides = whole(torch.Size(shape))
    starts = (indices.start for indices in held)
    first = sum(start * stride for start, stride in zip(starts, strides, strict=True))
    return Numbering(first if all(held) else 0, strides)


def refuse_interleaved(
    shape: Sequence[int], mesh: Sequence[int], placements: Sequence[Placement]
) -> None:
    """Refuse a placement under which any process holds a part that is interleaved.

    All of them refuse it, so that none waits for one that did not step. Errors:
    `ValueError`.
    """
    if any(hasattr(placement, "split_factor") for placement in placements):
        for coordinate in product(*map(range, mesh)):
            part(shape, mesh, coordinate, placements)


def part(
    shape: Sequence[int],
    mesh: Sequence[int],
    coordinate: Sequence[int],
    placements: Sequence[Placement],
) -> list[range]:
    """Return the indices of each dimension that the process at a coordinate holds.

    `mesh` is the number of processes in each of its dimensions. Errors: `ValueError` if
    the indices of a dimension are not consecutive.
    """
    held: list[_Ranges] = [[range(size)] for size in shape]
    for count, place, placement in zip(mesh, coordinate, placements, strict=True):
        if (dim := _dim(placement)) is None:
            continue
        # Sharded once more by a later dimension of the mesh, that is to come first.
        pieces = _chunks(held[dim], getattr(placement, "split_factor", 1))
        held[dim] = [each for piece in pieces for each in _chunks(piece, count)[place]]
    return [_joined(indices, placements) for indices in held]


def _chunks(held: _Ranges, count: int) -> list[_Ranges]:
    """Cut indices as `torch.chunk` does, but always in `count`, the last ones empty."""
    total = sum(map(len, held))
    size = -(-total // count)
    return [_cut(held, i * size, min((i + 1) * size, total)) for i in range(count)]


def _cut(held: _Ranges, start: int, stop: int) -> _Ranges:
    kept = []
    for piece in held:
        kept.append(piece[max(start, 0) : max(stop, 0)])
        start, stop = start - len(piece), stop - len(piece)
    return [piece for piece in kept if piece]


def _joined(held: _Ranges, placements: Sequence[Placement]) -> range:
    if not held:
        return range(0)
    for before, after in pairwise(held):
        if before.stop != after.start:
            raise ValueError(
                f"a parameter placed as {tuple(placements)} has elements here that lie "
                "between those of other processes, and rounding noise wants them "
                "consecutive; leave stochastic_rounding False and state_dtype None."
            )
    return range(held[0].start, held[-1].stop)


# --- float8 blocks --------------------------------------------------------------------


def refuses_blocks(param: Tensor) -> str | None:
    """Return why a parameter cannot have float8 moments, or None if it can."""
    if not is_sharded(param) or not _splits_blocks(param):
        return None
    return (
        f"state_dtype is 'float8', and {tuple(param.placements)} over "
        f"{tuple(param.device_mesh.shape)} processes cuts blocks of {BLOCK} elements "
        f"in the rows of a parameter of shape {tuple(param.shape)}; shard dimension 0, "
        f"or give it to each process in multiples of {BLOCK}, or use 'bfloat16'."
    )


def _splits_blocks(param: DTensor) -> bool:
    """Whether a process would hold a part of a float8 block."""
    dims = {dim for dim in map(_dim, param.placements) if dim}
    if not dims:
        return False
    if len(dims) > 1 or param.shape[1 : max(dims)].numel() > 1:
        return True
    return any(_splits(param, coordinate) for coordinate in _coordinates(param))


def _splits(param: DTensor, coordinate: Sequence[int]) -> bool:
    """Whether the blocks at a coordinate are not those of its own elements."""
    mesh, shape = param.device_mesh.shape, tuple(param.shape)
    (dim,) = {dim for dim in map(_dim, param.placements) if dim}
    own = part(shape, mesh, coordinate, param.placements)[dim]
    unit, last = param.shape[dim + 1 :].numel(), param.shape[1:].numel()
    start, stop = own.start * unit, own.stop * unit
    table, placements = blocks(param.shape), _scale_placements(param)
    kept = part(table, mesh, coordinate, placements)[1]
    if not own or not kept:
        return bool(own) != bool(kept)
    return (start, stop) != (kept.start * BLOCK, min(kept.stop * BLOCK, last))


def _coordinates(param: DTensor) -> Iterator[tuple[int, ...]]:
    """Yield the coordinates that differ in what they hold of a row."""
    sizes = zip(param.device_mesh.shape, param.placements, strict=True)
    return product(*(range(size if _dim(where) else 1) for size, where in sizes))


def _scale_placements(param: DTensor) -> tuple[Placement, ...]:
    """Return how the exponents of a parameter's blocks are placed: beside them."""
    from torch.distributed.tensor import Shard

    return tuple(
        Shard(1) if _dim(placement) else placement for placement in param.placements
    )


def scale(param: DTensor, here: Tensor) -> DTensor:
    """Return the exponents of all blocks of a parameter, of which `here` are here."""
    from torch.distributed.tensor import DTensor

    rows, count = blocks(param.shape)
    return DTensor.from_local(
        here,
        param.device_mesh,
        _scale_placements(param),
        run_check=False,
        shape=torch.Size((rows, count)),
        stride=(count, 1),
    )


def _dim(placement: Placement) -> int | None:
    """Return the dimension that a placement shards, if it shards one."""
    dim: int | None = getattr(placement, "dim", None)
    return dim
