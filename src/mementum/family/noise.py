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

# The same for 64 bits, those of SplitMix64 (Steele, Lea and Flood, "Fast splittable
# pseudorandom number generators", 2014): shifts with multipliers, and the last shift.
WIDE_STRIDE = 0x9E3779B97F4A7C15
WIDE_MIXER = (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)
LAST_SHIFT = 31


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
    text = f"{purpose}\n{seed}\n{kind}\n{parameter}\n"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def keys(
    identities: NDArray[np.uint64], step: int | NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Return the keys of parameters in one step: `first` below, `second` above.

    ``mix(identity ^ mix(WIDE_STRIDE * step))``, in integers that wrap at 64 bits: what
    a device can compute for a step that it counts itself, 0 <= step < 2**64.

    Multiplying by an odd number, a shift that is xored and so `mix` are bijections.
    Hence two keys are equal only if the identities, xored, equal the mixed steps,
    xored. One parameter has a key of its own in every step, since other steps mix to
    other numbers; in one step other identities have other keys; and in other steps two
    parameters share a key with the chance that 64 bits of a strong hash hit a number
    that does not depend on them, 2**-64. Neighbouring steps differ in half of their
    mixed bits, and neighbouring parameters in half of their hashes; the outer `mix`
    spreads each of these bits over the whole key once more, so that what two steps
    differ in depends on the parameter too.
    """
    steps = np.atleast_1d(np.asarray(step, dtype=np.uint64))
    return _mixed(identities ^ _mixed(steps * np.uint64(WIDE_STRIDE)))


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, multiplier in WIDE_MIXER:
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(multiplier)
    return x ^ (x >> np.uint64(LAST_SHIFT))


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
    packed = int(keys(one, step)[0])
    return Key(packed & 0xFFFFFFFF, packed >> 32)


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
