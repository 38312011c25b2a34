"""The family's step for one array, in the order of the paths of torch.

p parameter, g gradient, m momentum, v square, k peak, c the twelve numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from mementum.family.rule import Coefficients, plainly
from mementum.optax.shield import Keep


class Moments(NamedTuple):
    """What is kept of an array between steps, in the dtype a step is computed in."""

    momentum: Array
    square: Array
    peak: Array | None


def step(
    c: Coefficients, p: Array | None, g: Array, moments: Moments, keep: Keep
) -> tuple[Array, Moments]:
    """Return what is to be subtracted from the parameter, and the new moments.

    The parameter may be None where the numbers have no decay. Both are shielded
    already: a gradient that ends in a product would be contracted with what follows.
    """
    m, v, k = moments
    if not plainly(c.pull, 0):
        g = keep(c.pull * p) + g
    m = m + keep((g - m) * c.take_m)
    u = _weighted(c.square_g, g, c.square_m, m, keep)
    sample = keep((u * u.conj()).real)
    if not plainly(c.eps_in, 0):
        sample = sample + c.eps_in
    v = v + keep((sample - v) * c.take_v)
    k = None if k is None else jnp.maximum(k, v)
    difference = _weighted(c.step_g, g, c.step_m, m, keep) / _divisor(c, v, k, keep)
    if not plainly(c.shrink, 0):
        difference = keep(c.shrink * p) + difference
    return difference, Moments(m, v, k)


def _divisor(c: Coefficients, v: Array, k: Array | None, keep: Keep) -> Array:
    largest = v if k is None else k
    if not plainly(c.eps_root, 0):
        largest = largest + c.eps_root
    # Or XLA divides by a root as it multiplies by the inverse, which rounds otherwise.
    root = keep(jnp.sqrt(largest))
    return root if plainly(c.eps_out, 0) else root + c.eps_out


def _weighted(a: Any, x: Array, b: Any, y: Array, keep: Keep) -> Array:
    """Return ``a x + b y``, where a factor of zero removes its term."""
    if plainly(a, 0):
        return _times(b, y, keep)
    if plainly(b, 0):
        return _times(a, x, keep)
    return _times(b, y, keep) + _times(a, x, keep)


def _times(a: Any, x: Array, keep: Keep) -> Array:
    return x if plainly(a, 1) else keep(a * x)
