"""Which elements parameters share in memory, alone and with one another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from operator import attrgetter, itemgetter
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from mementum.torch.groups.options import Group, named

_PLAIN = {Tensor, torch.nn.Parameter}


class _Layout(NamedTuple):
    """What is alike in parameters that lie alike; `width` is an element's bytes."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    width: int

    def steps(self) -> list[tuple[int, int]]:
        """Return the bytes from one element to the next, and how often, by dimension.

        A dimension of one element is left out.
        """
        dims = zip(self.strides, self.shape, strict=True)
        return [(stride * self.width, size - 1) for stride, size in dims if size > 1]


class _Extent(NamedTuple):
    """The bytes ``[start, end)`` between a parameter's first and last element."""

    start: int
    end: int
    layout: _Layout
    param: Tensor


class _Crowd(NamedTuple):
    """Intervals that overlap, be it by way of others, and what they cover together."""

    low: int
    high: int
    members: list[_Extent]


_Pair = tuple[_Extent, _Extent]


def refuse_shared_memory(groups: Sequence[Group], *, since: int = 0) -> None:
    """Refuse parameters that own an element twice, alone or together.

    Groups before the one at `since` were asked about when they were added.
    Interleaved views of one storage, such as two columns, share no element and pass.
    Errors: `ValueError` with the names of the parameters.
    """
    older, params = _params(groups[:since]), _params(groups[since:])
    for param in (fresh := _in_memory(params)):
        if not param.is_contiguous() and repeats(param):
            raise ValueError(
                f"{_names(groups, param)[0]} has several elements at one place in "
                "memory (it is expanded, or has overlapping strides); pass a clone() "
                "of it."
            )
    for device, extents in _extents(fresh).items():
        low, high = min(e.start for e in extents), max(e.end for e in extents)
        near = _extents(_in_memory(older, low, high)).get(device, [])
        if len(extents) == 1:
            near = [e for e in near if not _pass_between(e, extents[0])]
        if (pair := _meeting(near + extents)) is not None:
            _refuse_pair(groups, pair[0].param, pair[1].param)


def _refuse_pair(groups: Sequence[Group], one: Tensor, other: Tensor) -> NoReturn:
    if one is other:
        first, second = _names(groups, one)[:2]
        raise ValueError(
            f"{second} is {first} again, so every step would change it twice; list it "
            "once."
        )
    first, second = _names(groups, one)[0], _names(groups, other)[0]
    raise ValueError(
        f"{first} and {second} share memory, so every step would change it twice; pass "
        "the tensor that holds both, once."
    )


def _params(groups: Sequence[Group]) -> list[Tensor]:
    return list(chain.from_iterable(map(itemgetter("params"), groups)))


def _names(groups: Sequence[Group], param: Tensor) -> list[str]:
    """Return the names of a parameter, one for each time it is listed."""
    pairs = (pair for index, group in enumerate(groups) for pair in named(index, group))
    return [name for name, each in pairs if each is param]


def _in_memory(
    params: list[Tensor], low: float = 0, high: float = math.inf
) -> list[Tensor]:
    """Return the parameters whose storages reach into these addresses.

    It is asked of all that an optimizer has when one is added. Freed storages, and
    those on meta, have no address.
    """
    layouts = set(map(attrgetter("layout"), params))
    if not (set(map(type, params)) <= _PLAIN and layouts <= {torch.strided}):
        params = [param for param in params if not _is_elsewhere(param)]
    storages = list(map(Tensor.untyped_storage, params))
    starts = map(torch.UntypedStorage.data_ptr, storages)
    sizes = map(torch.UntypedStorage.nbytes, storages)
    spans = zip(params, starts, sizes, strict=True)
    return [
        p for p, start, size in spans if start and start < high and low < start + size
    ]


def _extents(params: Iterable[Tensor]) -> dict[torch.device, list[_Extent]]:
    """Return where parameters lie on each device, but for those without elements."""
    found: dict[torch.device, list[_Extent]] = {}
    for param in params:
        if param.numel():
            found.setdefault(param.device, []).append(_extent(param))
    return found


def _extent(param: Tensor) -> _Extent:
    layout = _Layout(param.shape, param.stride(), param.element_size())
    start = param.data_ptr()
    return _Extent(start, start + _length(layout), layout, param)


@lru_cache(maxsize=4096)
def _length(layout: _Layout) -> int:
    """Return the bytes from the first element to the end of the last."""
    return layout.width + sum(step * count for step, count in layout.steps())


def _is_elsewhere(param: Tensor) -> bool:
    """Whether a parameter has no memory of its own: a sparse, lazy or fake one."""
    if is_lazy(param) or param.layout is not torch.strided:
        return True
    return type(param).__torch_dispatch__ is not Tensor.__torch_dispatch__


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


def _pass_between(a: _Extent, b: _Extent) -> bool:
    """Whether two parameters interleave, as columns do, by their strides alone."""
    step = _common_step(a.layout, b.layout)
    if not step:
        return False
    apart = (b.start - a.start) % step
    return apart >= a.layout.width and step - apart >= b.layout.width


@lru_cache(maxsize=4096)
def _common_step(a: _Layout, b: _Layout) -> int:
    """Return how many bytes all strides of two layouts are multiples of."""
    return math.gcd(*(step for step, _ in (*a.steps(), *b.steps())))


def _meeting(extents: list[_Extent]) -> _Pair | None:
    """Return two parameters that have a byte in common, if there are any.

    Only those are looked at together whose extents overlap.
    """
    spans = [(extent.start, extent.end, extent) for extent in extents]
    crowds = (crowd.members for crowd in _crowds(spans) if crowd.members[1:])
    return next(filter(None, map(_meeting_in_crowd, crowds)), None)


def _meeting_in_crowd(crowd: list[_Extent]) -> _Pair | None:
    dense: _Extent | None = None
    for extent in crowd:
        if dense is not None and extent.start < dense.end:
            return dense, extent
        if _is_dense(extent):
            dense = extent
    for step in _steps(crowd):
        parts = _around(crowd, step)
        if len(parts) > 1:
            return next(filter(None, map(_meeting, parts)), None)
    return _meeting_on_map(crowd)


def _crowds(spans: Iterable[tuple[int, int, _Extent]]) -> list[_Crowd]:
    """Part intervals into crowds, in the order of where they begin."""
    crowds: list[_Crowd] = []
    for low, high, extent in sorted(spans, key=itemgetter(0, 1)):
        if crowds and low < crowds[-1].high:
            begin, end, members = crowds[-1]
            members.append(extent)
            crowds[-1] = _Crowd(begin, max(end, high), members)
        else:
            crowds.append(_Crowd(low, high, [extent]))
    return crowds


def _steps(crowd: list[_Extent]) -> list[int]:
    """Return numbers of bytes of which strides of all parameters are multiples."""
    layouts = {extent.layout for extent in crowd}
    strides = {step for layout in layouts for step, _ in layout.steps()}
    return list(dict.fromkeys(accumulate(sorted(strides, reverse=True), math.gcd)))


def _around(crowd: list[_Extent], step: int) -> list[list[_Extent]]:
    """Part parameters into those whose elements may meet, and those that interleave.

    Strides that are multiples of the step lead nowhere on a ring of so many bytes.
    There each parameter covers an arc, and columns of a matrix one of an element.
    """
    arcs = []
    for extent in crowd:
        low = extent.start % step
        arcs.append((low, low + _arc(extent.layout, step), extent))
    crowds = _crowds(arcs)
    while len(crowds) > 1 and crowds[0].low + step < crowds[-1].high:
        _, high, members = crowds.pop(0)
        low, end, last = crowds[-1]
        crowds[-1] = _Crowd(low, max(end, high + step), last + members)
    return [members for _, _, members in crowds]


@lru_cache(maxsize=4096)
def _arc(layout: _Layout, ring: int) -> int:
    """Return how many bytes in a row of a ring a parameter may cover."""
    inner = (step * count for step, count in layout.steps() if step % ring)
    return layout.width + sum(inner)


def _meeting_on_map(crowd: list[_Extent]) -> _Pair | None:
    """Return two parameters that have a byte in common, by a map of all their bytes."""
    origin, end = min(e.start for e in crowd), max(e.end for e in crowd)
    owned = torch.zeros(end - origin, dtype=torch.bool, device="cpu")
    for i, extent in enumerate(crowd):
        own = _bytes(owned, extent, origin)
        if own.any():
            for other in crowd[:i]:
                _bytes(owned, other, origin).fill_(False)
                if not own.any():
                    return other, extent
        own.fill_(True)
    return None


def _is_dense(extent: _Extent) -> bool:
    return extent.end - extent.start == extent.param.nbytes


def _bytes(owned: Tensor, extent: _Extent, origin: int) -> Tensor:
    """Return the part of a map of bytes that a parameter owns."""
    shape, strides, width = extent.layout
    return owned.as_strided(
        (*shape, width),
        (*(stride * width for stride in strides), 1),
        extent.start - origin,
    )
