"""What remembers the kinds of tensors sees every change of kind, and owns no tensor."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mementum.torch.backends import native
from mementum.torch.backends.guard import Guard, Rows, TensorGuard, exchange

told = pytest.mark.skipif(
    native.library() is None or exchange() is None,
    reason="torch has no exchange of DLPack here, or there is no kernel",
)
GUARDS = [
    pytest.param(TensorGuard, id="torch"),
    pytest.param(native.guard, id="dlpack", marks=told),
]
guards = pytest.mark.parametrize("guard", GUARDS)


def rows() -> Rows:
    drawn = [torch.randn(4, 6) for _ in range(6)]
    drawn += [torch.randn(()), torch.randn(5), torch.randn(2, 3, 4).mT]
    return [drawn[:3], drawn[3:6], drawn[6:]]


class Own(Tensor):
    """A class of a user's."""


def freed(tensor: Tensor) -> Tensor:
    own = tensor.clone()
    own.untyped_storage().resize_(0)
    return own


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "dtype": lambda t: t.double(),
    "shorter dtype": lambda t: t.to(torch.bfloat16),
    "size": lambda t: torch.zeros(*t.shape[:-1], t.shape[-1] + 1),
    "rank": lambda t: t[None],
    "no dimension": lambda t: t.sum(),
    "strides": lambda t: t.t().contiguous().t(),
    "device": lambda t: t.to("meta"),
    "class": lambda t: t.as_subclass(Own),
    "layout": lambda t: t.to_sparse(),
}


@guards
def test_new_tensors_of_the_same_kind_are_as_they_were(guard: Any) -> None:
    known: Guard = guard(rows())
    assert known.holds(rows())
    assert known.holds([[t.clone() for t in row] for row in rows()])


@guards
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("place", [(0, 0), (1, 2)], ids=str)
def test_a_change_of_kind_is_seen(
    guard: Any, change: Callable[[Tensor], Tensor], place: tuple[int, int]
) -> None:
    known: Guard = guard(rows())
    changed = rows()
    row, i = place
    changed[row][i] = change(changed[row][i])
    assert not known.holds(changed)
    assert known.holds(rows())


@guards
def test_other_numbers_of_tensors_are_seen(guard: Any) -> None:
    known: Guard = guard(rows())
    whole = rows()
    assert not known.holds(whole[:2])
    assert not known.holds([row[:2] for row in whole])
    assert not known.holds([*whole, whole[0]])


@guards
def test_tensors_of_other_classes_are_never_as_they_were(guard: Any) -> None:
    own = [[torch.ones(3).as_subclass(Own)], [torch.ones(3)]]
    assert not guard(own).holds(own)


@told
def test_addresses_are_those_of_the_tensors_last_seen() -> None:
    known = native.guard(rows())
    for _ in range(3):
        now = rows()
        assert known.holds(now)
        assert known.addresses is not None
        assert [*known.addresses] == [t.data_ptr() for row in now for t in row]


@told
def test_memory_that_was_freed_is_no_memory() -> None:
    known, now = native.guard(rows()), rows()
    now[0][0] = freed(now[0][0])
    assert not known.holds(now)


@told
def test_a_lazy_copy_is_made_before_its_address_is_told() -> None:
    known, now = native.guard(rows()), rows()
    source = now[0][0].clone()
    now[0][0] = torch._lazy_clone(source)
    assert known.holds(now)
    assert known.addresses is not None
    assert known.addresses[0] == now[0][0].data_ptr() != source.data_ptr()


@guards
def test_no_tensor_is_owned(guard: Any) -> None:
    now = rows()
    known: Guard = guard(now)
    seen = rows()
    assert known.holds(seen)
    every = [weakref.ref(t) for row in (*now, *seen) for t in row]
    counts = [sys.getrefcount(t) for t in seen[0]]
    for _ in range(3):
        assert known.holds(seen)
    assert [sys.getrefcount(t) for t in seen[0]] == counts
    del now, seen
    gc.collect()
    assert not [ref for ref in every if ref() is not None]
