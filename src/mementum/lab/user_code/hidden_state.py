"""What code keeps beside known tensors: counters, lists, tensors of its own."""

from __future__ import annotations

import hashlib
import itertools
import pickle
from collections import deque
from collections.abc import Collection, Iterable
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from mementum.lab.user_code.chance import Own

_PLAIN = bool | int | float | complex | str | bytes | None
_NAMED = ModuleType | BuiltinFunctionType | torch.dtype | torch.device
_MOST = 200_000
"""Parts that are looked at; what has more is taken for changed."""
_LIBRARIES = ("torch", "numpy", "builtins")
_TOOLS = ("logging", "threading", "_thread", "re", "typing", "io", "_io", "pathlib")
"""Modules whose objects change, if at all, in what no result depends on."""
_UNKNOWN = itertools.count()


class HiddenState:
    """The digest of what objects keep; it changes where any of it may have."""

    def __init__(self, known: Iterable[torch.Tensor] = ()) -> None:
        self._known = {id(each) for each in known}
        self._digest = hashlib.sha256()
        self._seen: dict[int, tuple[int, object]] = {}
        self._parts = 0

    def of(self, *roots: object) -> str:
        """Return the digest of objects, in hex."""
        try:
            for root in roots:
                self._take(root)
        except RecursionError:
            self._unknown()
        return self._digest.hexdigest()

    def _say(self, *words: object) -> None:
        self._digest.update(repr(words).encode("utf-8", "backslashreplace"))

    def _unknown(self) -> None:
        """Take in something that nobody can look into: it counts as changed."""
        self._say("unknown", next(_UNKNOWN))

    def _take(self, each: Any) -> None:
        self._parts += 1
        if self._parts > _MOST:
            self._unknown()
        elif isinstance(each, _PLAIN):
            self._say(each)
        elif isinstance(each, torch.Tensor | np.ndarray):
            self._array(each)
        elif isinstance(each, Own | _NAMED) or type(each).__module__ in _TOOLS:
            self._say(type(each).__name__, getattr(each, "__name__", ""))
        elif id(each) in self._seen:
            self._say("again", self._seen[id(each)][0])
        else:
            self._seen[id(each)] = len(self._seen), each
            self._inside(each)

    def _array(self, each: torch.Tensor | np.ndarray) -> None:
        """Take in the content of a tensor or array, unless it is known."""
        if id(each) in self._known:
            self._say("known")
        elif isinstance(each, np.ndarray) and each.dtype.hasobject:
            self._several("array", each.ravel().tolist())
        else:
            self._say(each.dtype, tuple(each.shape))
            take_in_array(self._digest, each)

    def _inside(self, each: Any) -> None:
        """Take in what an object holds."""
        if isinstance(each, dict):
            self._table(each)
        elif isinstance(each, list | tuple | set | frozenset | deque):
            self._several(type(each).__name__, each)
        elif isinstance(each, FunctionType):
            cells = [
                cell.cell_contents for cell in each.__closure__ or () if _full(cell)
            ]
            self._several(each.__qualname__, [each.__defaults__, vars(each), *cells])
        elif isinstance(each, MethodType):
            self._several(each.__func__.__qualname__, [each.__self__])
        elif isinstance(each, type):
            own = each.__module__.partition(".")[0] not in _LIBRARIES
            self._say(each.__qualname__)
            self._table({**vars(each)} if own else {})
        elif hasattr(each, "__dict__") or hasattr(type(each), "__slots__"):
            self._instance(each)
        else:
            self._pickled(each)

    def _several(self, name: str, parts: Collection[Any]) -> None:
        self._say(name, len(parts))
        for part in parts:
            self._take(part)

    def _table(self, table: dict[Any, Any]) -> None:
        """Take in a table; what Python itself writes there is not looked at."""
        names = [name for name in table if not _of_python(name)]
        self._say("table", len(names))
        for name in names:
            self._take(name)
            self._take(table[name])

    def _instance(self, each: Any) -> None:
        """Take in the attributes of an object."""
        slots = getattr(type(each), "__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        found = {name: getattr(each, name) for name in names if hasattr(each, name)}
        self._say(type(each).__qualname__)
        self._table({**found, **getattr(each, "__dict__", {})})

    def _pickled(self, each: object) -> None:
        """Take in what something is made of, if it says so."""
        try:
            self._say(type(each).__name__, pickle.dumps(each))
        except Exception:  # noqa: BLE001 - locks, files, anybody's objects
            self._unknown()


def _full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _of_python(name: object) -> bool:
    return isinstance(name, str) and name.startswith("__") and name.endswith("__")


def take_in_array(digest: Any, value: torch.Tensor | np.ndarray) -> None:
    """Take the content of a tensor or array into a digest."""
    if isinstance(value, torch.Tensor):
        # NumPy has no bfloat16: the bytes are read as what they are.
        dense = value.detach().cpu().to_dense().contiguous().reshape(-1)
        value = dense.view(torch.uint8).numpy()
    digest.update(np.ascontiguousarray(value).data)
