"""Rounding noise: one 32-bit word for each element, a function of what is rounded.

A word depends on the seed, the parameter, the step and the element's index, and on
nothing else: not on the bucket, the thread, the backend or the machine. This module
is the definition; the backends compute the same bits.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from struct import unpack
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The mixer: 2**32 divided by the golden ratio, and two multipliers that spread each
# bit of a 32-bit word over all others.
STRIDE = 0x9E3779B9
MULTIPLIERS = 0x7FEB352D, 0x846CA68B


class Key(NamedTuple):
    """What the words of one parameter in one step have in common: two 32-bit words."""

    first: int
    second: int


def key(
    seed: int,
    parameter: str | int,
    step: int,
    purpose: Literal["state", "parameter"] = "state",
) -> Key:
    """Return the key of a parameter's words in one step.

    `parameter` is its name or, without one, its place among all parameters; `purpose`
    is what is rounded, the moments or the parameter itself.

    >>> key(0, "weight", 1) == key(0, "weight", 1), key(0, "3", 1) == key(0, 3, 1)
    (True, False)
    """
    hashed = _begun(seed, parameter, purpose).copy()
    hashed.update(b"%d" % step)
    return Key(*unpack("<II", hashed.digest()))


@cache
def _begun(seed: int, parameter: str | int, purpose: str) -> blake2b:
    """Return the hash of all but the step, which is all that is new at every step."""
    kind = "name" if isinstance(parameter, str) else "place"
    text = f"{purpose}\n{seed}\n{kind}\n{parameter}\n"
    return blake2b(text.encode(), digest_size=8)


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
