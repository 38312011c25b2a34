"""How moments are stored, and numbers rounded to bfloat16 with noise.

The rounding is that of `mementum.family.rounding`, on the same bits.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mementum.family.rounding import INFINITE, LARGEST_BFLOAT16, MAGNITUDE

BFLOAT16 = np.dtype(jnp.bfloat16)
_STORED = ("float32", "float64", "bfloat16")
_Word = np.uint32


def stored(state_dtype: Any) -> np.dtype[Any] | None:
    """Return a `state_dtype` as a dtype, or None, which leaves the choice to us.

    Errors: `TypeError` or `ValueError` for what is none, or is not offered.
    """
    if state_dtype is None:
        return None
    if isinstance(state_dtype, jax.Array):
        raise TypeError(
            "state_dtype is an array, because inject_hyperparams takes a dtype for a "
            "schedule; give it as a word, such as 'bfloat16'."
        )
    name = state_dtype if isinstance(state_dtype, str) else jnp.dtype(state_dtype).name
    if name.startswith("float8"):
        raise ValueError(
            "state_dtype is 'float8', whose blocks have a scale each, and a state in "
            "JAX has the shapes of the parameters; use 'bfloat16', or float8 in torch."
        )
    if name not in _STORED:
        raise ValueError(
            f"state_dtype is {name!r}; it is None, 'float32', 'float64' or 'bfloat16'."
        )
    if name == "float64" and jax.dtypes.canonicalize_dtype(name) != name:
        raise ValueError(
            "state_dtype is 'float64', and JAX makes no arrays of it; call "
            "jax.config.update('jax_enable_x64', True) first."
        )
    return jnp.dtype(name)


def moment_dtype(name: str, dtype: Any, state_dtype: np.dtype[Any] | None) -> Any:
    """Return the dtype of the momentum of a parameter: float32 at least.

    Errors: `TypeError` for a parameter of integers, `ValueError` for a `state_dtype`
    narrower than it.
    """
    if not jnp.issubdtype(dtype, jnp.inexact):
        raise TypeError(
            f"parameter {name!r} is {dtype}, and steps are taken in real or complex "
            "numbers; leave it out with optax.masked or a partition."
        )
    computed = _wide(dtype)
    if state_dtype is None:
        return computed
    if computed != np.float32 and state_dtype != computed:
        raise ValueError(
            f"state_dtype is {state_dtype.name!r}, and parameter {name!r} is {dtype}, "
            "whose moments are kept as wide as itself; leave state_dtype None for it, "
            "by optax.partition."
        )
    return state_dtype


def computed_dtype(*arrays: Array) -> Any:
    """Return the dtype that a step with these arrays is computed in."""
    return _wide(*(array.dtype for array in arrays))


def _wide(*dtypes: Any) -> Any:
    # Where a user has made promotion strict, float32 and bfloat16 have no common type.
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.promote_types, dtypes, np.dtype("float32"))


def real_dtype(dtype: Any) -> Any:
    """Return the dtype of the parts of complex numbers, and that of real ones."""
    return np.zeros((), dtype).real.dtype


def momentum(x: Array, dtype: Any, words: Array | None) -> Array:
    """Return a momentum as it is stored: in bfloat16 with the high 12 bits of words."""
    if dtype != BFLOAT16 or words is None:
        return lax.convert_element_type(x, dtype)
    return _number(_shaken(_bits(x), (words >> _Word(16)) & _Word(0xFFF0)))


def square(x: Array, dtype: Any, words: Array | None) -> Array:
    """Return a square as it is stored: in bfloat16 with the low 16 bits of words.

    One that is not zero stays so, since it divides.
    """
    if dtype != BFLOAT16 or words is None:
        return lax.convert_element_type(x, dtype)
    bits = _bits(x)
    shaken = _shaken(bits, words & _Word(0xFFFF))
    least = lax.min(bits, _Word(1)) << _Word(16)
    return _number(lax.max(shaken & _Word(0xFFFF0000), least))


def peak(x: Array, dtype: Any) -> Array:
    """Return a peak as it is stored: in bfloat16 the nearest, since noise drives it up.

    On bits, because XLA leaves out a cast to bfloat16 and back on some devices.
    """
    if dtype != BFLOAT16:
        return lax.convert_element_type(x, dtype)
    bits = _bits(x)
    even = (bits >> _Word(16)) & _Word(1)
    not_a_number = (bits & _Word(MAGNITUDE)) > _Word(INFINITE)
    nearest = bits + _Word(0x7FFF) + even
    return _number(jnp.where(not_a_number, _Word(0x7FC00000), nearest))


def parameter(x: Array, words: Array) -> Array:
    """Return float32 numbers rounded to bfloat16 with the low 16 bits of words."""
    return _number(_shaken(_bits(x), words & _Word(0xFFFF)))


def _shaken(bits: Array, random: Array) -> Array:
    """Add random bits to patterns of finite numbers below the largest of bfloat16."""
    below = (bits & _Word(MAGNITUDE)) < _Word(LARGEST_BFLOAT16)
    return jnp.where(below, bits + random, bits)


def _bits(x: Array) -> Array:
    return lax.bitcast_convert_type(lax.convert_element_type(x, np.float32), _Word)


def _number(bits: Array) -> Array:
    """Return the bfloat16 that the upper halves of patterns are."""
    upper = lax.convert_element_type(bits >> _Word(16), np.uint16)
    return lax.bitcast_convert_type(upper, jnp.bfloat16)
