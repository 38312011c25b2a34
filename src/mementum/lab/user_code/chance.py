"""What a run can draw from: the global random states, and generators of the user's own.

A run lends them all, begins them anew, and gives them back as they were.
"""

from __future__ import annotations

import pickle
import random
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from types import (
    BuiltinMethodType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any, TypeAlias

import numpy as np
import torch

Own: TypeAlias = (
    torch.Generator
    | np.random.Generator
    | np.random.BitGenerator
    | np.random.RandomState
    | random.Random
)
"""A generator that somebody made for himself."""

_ODD = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: its multiples are far apart."""
_OBJECTS = 100_000
"""How many are looked at for generators; the nearest come first."""
_ITEMS = 1000
"""How many of one container are looked at: more are data."""
_LEAVES = str | bytes | int | float | torch.Tensor | np.ndarray | None
_LIBRARIES = ("torch", "numpy", "builtins", "random")


class Chance:
    """The random states of Python, NumPy and torch, and generators of the user's own.

    The states of devices are among them once torch has begun with the device.
    """

    def __init__(self, own: Iterable[Own] = ()) -> None:
        self.own = tuple(own)

    def begin(self, base: int, step: int = 0) -> None:
        """Let all of them begin anew, as a function of two numbers. It takes 10 us."""
        word = (base + step * _ODD) % 2**64
        random.seed(word)
        np.random.seed(word >> 32)  # noqa: NPY002 - what others draw from
        torch.default_generator.manual_seed(word)
        for each in _devices():
            each.manual_seed(word)
        for place, own in enumerate(self.own, start=1):
            _begin(own, (word + place * _ODD) % 2**64)

    def states(self) -> tuple[bytes, bytes]:
        """Return where they stand: torch's global state on the CPU, and all others."""
        others = [each.get_state() for each in _devices()]
        others += [_putting_back(own).args[-1] for own in self.own]
        plain = random.getstate(), np.random.get_state()  # noqa: NPY002
        return (
            torch.default_generator.get_state().numpy().tobytes(),
            pickle.dumps((*plain, others)),
        )

    @contextmanager
    def lent(self, base: int, step: int = 0) -> Generator[None, None, None]:
        """Let all of them begin anew, and give each back as it was."""
        with ExitStack() as stack:
            stack.callback(random.setstate, random.getstate())
            stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
            for each in (torch.default_generator, *_devices()):
                stack.callback(each.set_state, each.get_state())
            for own in self.own:
                stack.callback(_putting_back(own))
            torch.manual_seed(base)  # a device that begins later follows it
            self.begin(base, step)
            yield


def seeded(seed: int = 0) -> AbstractContextManager[None]:
    """Return a context in which the global states begin alike in every process."""
    return Chance().lent(seed)


def _devices() -> list[torch.Generator]:
    """Return the generators of the devices that torch has begun with."""
    found: list[torch.Generator] = []
    for backend in (torch.cuda, torch.xpu):
        if backend.is_initialized():
            found += backend.default_generators
    if torch.backends.mps.is_available():  # pragma: no cover - a Mac's
        found.append(torch.mps._get_default_mps_generator())
    return found


def _begin(own: Own, word: int) -> None:
    """Let a generator begin anew."""
    if isinstance(own, torch.Generator):
        own.manual_seed(word)
    elif isinstance(own, np.random.Generator | np.random.BitGenerator):
        bits: Any = getattr(own, "bit_generator", own)
        kind: Any = type(bits)
        bits.state = kind(word).state
    elif isinstance(own, np.random.RandomState):
        own.seed(word >> 32)
    else:
        own.seed(word)


def _putting_back(own: Own) -> partial[Any]:
    """Return what gives a generator the state that it has now."""
    if isinstance(own, torch.Generator):
        return partial(own.set_state, own.get_state())
    if isinstance(own, np.random.Generator | np.random.BitGenerator):
        bits: Any = getattr(own, "bit_generator", own)
        return partial(setattr, bits, "state", bits.state)
    if isinstance(own, np.random.RandomState):
        return partial(own.set_state, own.get_state())
    return partial(own.setstate, own.getstate())


def generators_of(*roots: object) -> tuple[Own, ...]:
    """Return the generators that objects can draw from, as far as they are reached.

    Functions are followed into their closures, defaults and the globals that they name,
    instances into their attributes and classes, loaders into samplers and data.
    """
    return tuple(
        each
        for each in within(*roots)
        # What draws from the system has no state, and the rehearsal finds it out.
        if isinstance(each, Own) and not isinstance(each, random.SystemRandom)
    )


def within(*roots: object) -> Iterator[object]:
    """Yield objects and what they refer to, each once, the nearest first."""
    seen = set[int]()
    waiting = deque(roots)
    while waiting and len(seen) < _OBJECTS:
        each = waiting.popleft()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            if not isinstance(each, _LEAVES):
                waiting.extend(_parts(each))


def _parts(each: Any) -> Iterable[object]:
    """Return what an object refers to."""
    if isinstance(each, dict):
        return [*each.values()][:_ITEMS]
    if isinstance(each, list | tuple | set | frozenset | deque):
        return [*each][:_ITEMS]
    if isinstance(each, FunctionType):
        return _of_function(each)
    if isinstance(each, ModuleType):
        return vars(each).values() if _is_users(each) else ()
    if isinstance(each, MethodType):
        return each.__self__, each.__func__
    if isinstance(each, BuiltinMethodType):
        return (each.__self__,)
    if isinstance(each, partial):
        return each.func, each.args, each.keywords
    return _of_instance(each)


def _is_users(module: ModuleType) -> bool:
    """Return whether a module is neither Python's, nor the lab's, nor installed."""
    file = getattr(module, "__file__", None) or ""
    top = module.__name__.partition(".")[0]
    known = top in ("mementum", *sys.stdlib_module_names)
    return bool(file) and not known and "-packages" not in file


def _of_function(each: FunctionType) -> list[object]:
    """Return what a function refers to: cells, defaults, and the globals it names."""
    found: list[object] = [*(each.__defaults__ or ())]
    found += (each.__kwdefaults__ or {}).values()
    for cell in each.__closure__ or ():
        with suppress(ValueError):  # a cell that is empty yet
            found.append(cell.cell_contents)
    known = each.__globals__
    return found + [known[name] for name in _names(each.__code__) if name in known]


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function's code looks up, those inside it too."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def _of_instance(each: Any) -> list[object]:
    """Return the attributes of an object, and its class if that is the user's."""
    kind = each if isinstance(each, type) else type(each)
    found: list[object] = []
    with suppress(Exception):  # attributes may be anybody's code
        if not isinstance(each, type):
            found += getattr(each, "__dict__", {}).values()
            slots = getattr(kind, "__slots__", ())
            names = (slots,) if isinstance(slots, str) else slots
            found += [getattr(each, name) for name in names if hasattr(each, name)]
        if kind.__module__.partition(".")[0] not in _LIBRARIES:
            found += [part for one in kind.__mro__ for part in vars(one).values()]
    return found
