"""Numbers that are rounded, whatever else is compiled with them.

XLA's compiler for CPUs contracts ``a * b + c`` into one operation that rounds once, and
leaves out a rounding to bfloat16 that is read in float32 again, and does so in one
program and not in another. Barriers and casts do not stop it. The bits of a number,
xored with a zero that the compiler cannot know, do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

Keep: TypeAlias = Callable[[Array], Array]


@jax.custom_jvp
def _kept(x: Array, zero: Array) -> Array:
    word = lax.bitcast_convert_type(x, zero.dtype) ^ zero
    return lax.bitcast_convert_type(word, x.dtype)


# Bits have no derivative: without this one, gradients through a step would vanish.
@_kept.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Any]) -> tuple[Any, Any]:
    return _kept(*primals), tangents[0]


def shield(count: Array) -> Keep:
    """Return the identity on arrays, given a count of steps, which is not negative.

    It is to be put around a number whose rounding matters. It works as long as the
    compiler does not know the count: where it is an argument, or carried by a loop.
    Complex numbers pass as they are: their products are sums, and no other framework's
    to the bit.
    """
    # The sign of the count: zero, but no compiler is told so.
    sign = lax.shift_right_arithmetic(count, jnp.int32(31))
    zero = lax.convert_element_type(sign, np.uint32)

    def keep(x: Array) -> Array:
        if x.dtype == np.float32:
            return _kept(x, zero)
        if x.dtype.itemsize == 2:
            return _kept(x, lax.convert_element_type(zero, np.uint16))
        if x.dtype == np.float64:
            with jax.enable_x64(True):
                return _kept(x, lax.convert_element_type(zero, np.uint64))
        return x

    return keep
