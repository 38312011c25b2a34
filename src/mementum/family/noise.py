"""Rounding noise: one 32-bit word for each element, a function of what is rounded.

A word depends on the seed, the parameter, the step and the element's index, and on
nothing else: not on the bucket, the thread, the backend or the machine. This module
is the definition; the backends compute the same bits.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The mixer: 2**32 divided by the golden ratio, and two multipliers that spread each
# bit of a 32-bit word over all others.
STRIDE = 0x9E3779B9
MULTIPLIERS = 0x7FEB352D, 0x846CA68B

# The same for 64 bits: shifts and multipliers.
_JOIN = (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)


class Key(NamedTuple):
    """What the words of one parameter in one step have in common: two 32-bit words."""

    first: int
    second: int


@cache
def identity(
    seed: int,
    parameter: str | int,
    purpose: Literal["state", "parameter"] = "state",
) -> int:
    """Return 64 bits that stand for a parameter in a run.

    `parameter` is its name or, without one, its place among all parameters; `purpose`
    is what is rounded, the moments or the parameter itself.
    """
    kind = "name" if isinstance(parameter, str) else "place"
    return _hashed(f"{purpose}\n{seed}\n{kind}\n{parameter}\n")


def keys(identities: NDArray[np.uint64], step: int) -> NDArray[np.uint64]:
    """Return the keys of parameters in one step: `first` below, `second` above.

    Both hashes are strong; what joins them is a bijection that spreads each bit over
    all others, so two keys are alike only if the joined hashes are.
    """
    x = identities ^ np.uint64(_hashed(f"step\n{step}\n"))
    for shift, multiplier in _JOIN:
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(multiplier)
    return x ^ (x >> np.uint64(31))


def key(
    seed: int,
    parameter: str | int,
    step: int,
    purpose: Literal["state", "parameter"] = "state",
) -> Key:
    """Return the key of one parameter's words in one step.

    >>> key(0, "weight", 1) == key(0, "weight", 1), key(0, "3", 1) == key(0, 3, 1)
    (True, False)
    """
    one = np.array([identity(seed, parameter, purpose)], dtype=np.uint64)
    return _unpacked(keys(one, step)[0])


def _unpacked(packed: np.uint64) -> Key:
    """Return one of `keys` as its two words."""
    return Key(int(packed) & 0xFFFFFFFF, int(packed) >> 32)


def _hashed(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def words(key: Key, start: int, count: int) -> NDArray[np.uint32]:
    """Return the words of the elements ``start, ..., start + count - 1``.

    An element's index is its place in the whole parameter, in row-major order of its
    dimensions, wherever it lies in memory.
    """
    index = np.arange(start, start + count, dtype=np.uint64)
    low, high = index.astype(np.uint32), (index >> np.uint64(32)).astype(np.uint32)
    x = low ^ (np.uint32(key.first) + high * np.uint32(STRIDE))
    x ^= x >> np.uint32(16)
    x *= np.uint32(MULTIPLIERS[0])
    x ^= (x >> np.uint32(15)) ^ np.uint32(key.second)
    x *= np.uint32(MULTIPLIERS[1])
    x ^= x >> np.uint32(16)
    return x
