"""Whether tensors are of the kind they were when a bucket was built for them.

A kind is a class, dtype, device, shape and strides. What remembers it holds no tensor.
"""

from __future__ import annotations

import ctypes
import itertools
from array import array
from typing import Any, Protocol, TypeAlias

from torch import Tensor
from torch.nn import Buffer, Parameter

_TensorGuards: Any
try:
    # What compiled code is guarded by: one call for any number of tensors, for the
    # price of asking each of them one question.
    from torch._C._dynamo import guards
except ImportError:  # a torch that has moved it: every step then looks closely
    _TensorGuards = None
else:
    _TensorGuards = guards.TensorGuards

Rows: TypeAlias = list[list[Tensor]]
_PLAIN = (Tensor, Parameter, Buffer)


class Guard(Protocol):
    """Remembers the kinds of tensors in rows of equal length.

    Those of classes that keep their elements elsewhere are never what they were.
    """

    @property
    def addresses(self) -> array[int] | None:
        """Return where the tensors lie that `holds` was last given, if it is told."""

    def holds(self, rows: Rows) -> bool:
        """Whether these tensors are, one by one, of the kind that was remembered."""


def pointers(rows: Rows) -> array[int]:
    """Return where tensors lie, row after row.

    Errors: `RuntimeError` for one that has elements and no memory.
    """
    rows_of_places = (map(Tensor.data_ptr, row) for row in rows)
    places = array("q", itertools.chain.from_iterable(rows_of_places))
    if not all(places):
        lost = (x for row in rows for x in row if x.numel() and not x.data_ptr())
        for tensor in lost:
            raise RuntimeError(
                f"a tensor of shape {tuple(tensor.shape)} that the step wants has "
                "no memory: its storage was freed, or it is a lazy zero; clone() it."
            )
    return places


def _are_plain(rows: Rows) -> bool:
    return all(type(tensor) in _PLAIN for row in rows for tensor in row)


class TensorGuard:
    """Remembers kinds by what torch guards its compiled code with.

    A tensor that is listed twice is never found to be what it was.
    """

    addresses = None

    def __init__(self, rows: Rows) -> None:
        tensors = [tensor for row in rows for tensor in row]
        self._count = len(tensors)
        self._learnt = None
        if _TensorGuards is not None and _are_plain(rows):
            self._learnt = _TensorGuards(
                *tensors,
                dynamic_dims_sizes=[list(tensor.shape) for tensor in tensors],
                dynamic_dims_strides=[list(tensor.stride()) for tensor in tensors],
            )

    def holds(self, rows: Rows) -> bool:
        """Whether these tensors are, one by one, of the kind that was remembered."""
        tensors = [tensor for row in rows for tensor in row]
        if self._learnt is None or len(tensors) != self._count:
            return False
        return bool(self._learnt.check(*tensors))


class _Exchange(ctypes.Structure):
    """As in native/kernel.h."""

    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in ("describe", "item", "type", "release", "clear_error")
    )


class _DLPackExchange(ctypes.Structure):
    """The functions of DLPack's exchange, version 1."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "earlier",
                "allocator",
                "managed_tensor_from_py_object",
                "managed_tensor_to_py_object",
                "dltensor_from_py_object",
            )
        ),
    )


def exchange() -> _Exchange | None:
    """Return how tensors are described by DLPack, or None where torch does not say."""
    capsule = getattr(Tensor, "__dlpack_c_exchange_api__", None)
    if capsule is None:
        return None
    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    pointer_of = prototype(("PyCapsule_GetPointer", ctypes.pythonapi))
    found = _DLPackExchange.from_address(pointer_of(capsule, b"dlpack_exchange_api"))
    if found.major != 1 or not found.dltensor_from_py_object:
        return None
    own = (
        ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p)
        for name in ("PyList_GetItem", "PyObject_Type", "Py_DecRef", "PyErr_Clear")
    )
    return _Exchange(found.dltensor_from_py_object, *own)


class DLPackGuard:
    """Remembers kinds by DLPack's exchange, which tells where tensors lie as well.

    `locate` is the kernel's function, called with Python's lock. Lazily negated and
    conjugated tensors are not told from others.
    """

    addresses: array[int]

    def __init__(self, rows: Rows, locate: Any, how: _Exchange) -> None:
        self._locate, self._how = locate, how
        self._width, self._count = len(rows), len(rows[0])
        # As in mementum_locate: class, dtype, device, rank, sizes and strides.
        numbers = sum(4 + 2 * tensor.dim() for row in rows for tensor in row)
        self._forms = array("q", bytes(8 * numbers))
        self.addresses = array("q", bytes(8 * self._width * self._count))
        self._learnt = _are_plain(rows) and self._look(rows, learns=True)

    def holds(self, rows: Rows) -> bool:
        """Whether these tensors are, one by one, of the kind that was remembered."""
        alike = len(rows) == self._width and len(rows[0]) == self._count
        return self._learnt and alike and self._look(rows, learns=False)

    def _look(self, rows: Rows, *, learns: bool) -> bool:
        unlike: int = self._locate(
            ctypes.byref(self._how),
            rows,
            self._width,
            self._count,
            learns,
            self._forms.buffer_info()[0],
            self.addresses.buffer_info()[0],
        )
        return not unlike
