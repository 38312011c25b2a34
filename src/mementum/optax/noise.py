"""The words of `mementum.family.noise` in integers of 32 bits, for a traced step.

JAX has 64-bit integers only where they are switched on, so that a number of 64 bits is
a pair of words here, the high one first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mementum.family.noise import (
    LAST_SHIFT,
    MULTIPLIERS,
    STRIDE,
    WIDE_MIXER,
    WIDE_STRIDE,
    identity,
)

Pair: TypeAlias = tuple[Array, Array]
_Word = np.uint32
_HALF, _LOW = _Word(16), _Word(0xFFFF)


def check_seed(seed: Any) -> None:
    """Refuse a seed that is no whole number, or is traced: names are hashed with it."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(
            f"seed is {seed!r}; noise wants a plain whole number. Under "
            "inject_hyperparams pass static_args=('seed',)."
        )


def words(
    seed: int,
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    step: Array,
    purpose: Literal["state", "parameter"],
) -> list[Array]:
    """Return the words of parameters in one step, in arrays of their shapes."""
    check_seed(seed)
    one = [identity(seed, name, purpose) for name in names]
    # Without the barrier each array's loop would compute its key for each element.
    own = lax.optimization_barrier(keys(one, step))  # type: ignore[no-untyped-call]
    high, low = own
    return [_words((high[i], low[i]), shape) for i, shape in enumerate(shapes)]


def keys(identities: Sequence[int], step: Array) -> Pair:
    """Return `mementum.family.noise.keys` of a step, an int32 or uint32 scalar."""
    wide = np.array(identities, dtype=np.uint64)
    low = lax.convert_element_type(step, _Word)
    high, low = _mixed(_times((lax.full_like(low, 0), low), WIDE_STRIDE))
    top, bottom = (wide >> np.uint64(32)).astype(_Word), wide.astype(_Word)
    return _mixed((jnp.asarray(top) ^ high, jnp.asarray(bottom) ^ low))


def _words(key: Pair, shape: tuple[int, ...]) -> Array:
    """Return the words of an array's elements, numbered in row-major order."""
    second, first = key
    high, low = _index(shape)
    # Where no number needs its high word, nothing is computed of it.
    x = low ^ (first if high is None else first + high * _Word(STRIDE))
    x = (x ^ (x >> _HALF)) * _Word(MULTIPLIERS[0])
    x = (x ^ (x >> _Word(15)) ^ second) * _Word(MULTIPLIERS[1])
    return x ^ (x >> _HALF)


def _index(shape: tuple[int, ...]) -> tuple[Array | None, Array]:
    """Return the numbers of an array's elements, the high words only if not all 0."""
    wide = math.prod(shape) > 2**32
    low = lax.full(shape, 0, _Word)
    high = lax.full(shape, 0, _Word) if wide else None
    for axis, _ in enumerate(shape):
        along = lax.broadcasted_iota(_Word, shape, axis)
        stride = math.prod(shape[axis + 1 :])
        if high is None:
            low = low + along * _Word(stride)
        else:
            more, less = _times((lax.full_like(along, 0), along), stride)
            low = low + less
            high = high + more + lax.convert_element_type(low < less, _Word)
    return high, low


def _mixed(x: Pair) -> Pair:
    for shift, multiplier in WIDE_MIXER:
        x = _times(_shaken(x, shift), multiplier)
    return _shaken(x, LAST_SHIFT)


def _shaken(x: Pair, shift: int) -> Pair:
    """Return ``x ^ (x >> shift)`` for a shift of fewer than 32 bits."""
    high, low = x
    down, up = _Word(shift), _Word(32 - shift)
    return high ^ (high >> down), low ^ ((low >> down) | (high << up))


def _times(x: Pair, number: int) -> Pair:
    """Return the low 64 bits of a product with a plain number."""
    top, bottom = _Word(number >> 32), number & 0xFFFFFFFF
    carried, low = _product(x[1], bottom)
    return carried + x[1] * top + x[0] * _Word(bottom), low


def _product(x: Array, number: int) -> Pair:
    """Return the whole product of a word and a plain one, from those of halves."""
    low, high = x & _LOW, x >> _HALF
    first, other = _Word(number & 0xFFFF), _Word(number >> 16)
    bottom, left, right = low * first, low * other, high * first
    middle = (bottom >> _HALF) + (left & _LOW) + (right & _LOW)
    carried = (left >> _HALF) + (right >> _HALF) + (middle >> _HALF)
    return high * other + carried, (middle << _HALF) | (bottom & _LOW)
