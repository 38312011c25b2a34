"""What a transformation keeps between steps."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from mementum.optax import formats
from mementum.optax.kernel import Moments
from mementum.optax.paths import named_leaves


class RuleState(NamedTuple):
    """The number of steps taken, and trees of both moments.

    The names are not optax's `mu` and `nu`: a `square` is corrected for its start at
    zero where the rule's memory is, and must not be corrected again.
    """

    # A tuple has a method of this name.
    count: Array  # type: ignore[assignment]
    momentum: Any
    square: Any


class PeakRuleState(NamedTuple):
    """A `RuleState` of a rule that keeps the largest square, too."""

    # A tuple has a method of this name.
    count: Array  # type: ignore[assignment]
    momentum: Any
    square: Any
    peak: Any


State: TypeAlias = RuleState | PeakRuleState


def begin(params: Any, state_dtype: np.dtype[Any] | None, *, peak: bool) -> State:
    """Return the state before the first step, for arrays or their shapes and dtypes."""
    names, leaves, tree = named_leaves(params)
    dtypes = [
        None if leaf is None else formats.moment_dtype(name, leaf.dtype, state_dtype)
        for name, leaf in zip(names, leaves, strict=True)
    ]

    def zeros(*, real: bool) -> Any:
        pairs = zip(leaves, dtypes, strict=True)
        return tree.unflatten(
            [
                None if dtype is None else _zeros(leaf, dtype, real=real)
                for leaf, dtype in pairs
            ]
        )

    count = jnp.zeros([], jnp.int32)
    momentum, square = zeros(real=False), zeros(real=True)
    if peak:
        return PeakRuleState(count, momentum, square, zeros(real=True))
    return RuleState(count, momentum, square)


def _zeros(leaf: Any, dtype: Any, *, real: bool) -> Array:
    own = formats.real_dtype(dtype) if real else dtype
    return jnp.zeros_like(leaf, dtype=own)


def read(momentum: Any, square: Any, peak: Any, dtype: Any) -> Moments:
    """Return the moments of an array in the dtype that its step is computed in."""
    real = formats.real_dtype(dtype)
    return Moments(
        jnp.asarray(momentum, dtype),
        jnp.asarray(square, real),
        None if peak is None else jnp.asarray(peak, real),
    )


def write(moments: Moments, old: tuple[Any, Any, Any], words: Array | None) -> Moments:
    """Return moments as their predecessors were stored, rounded with their words."""
    momentum, square, peak = old
    return Moments(
        formats.momentum(moments.momentum, momentum.dtype, words),
        formats.square(moments.square, square.dtype, words),
        None if moments.peak is None else formats.peak(moments.peak, peak.dtype),
    )


def only(tree: Any, kinds: tuple[type, ...], what: str) -> Any:
    """Return the one state of these classes in a tree of states, in any wrapper.

    Errors: `ValueError` if there is none, or more than one.
    """
    leaves = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, kinds))
    found = [leaf for leaf in leaves if isinstance(leaf, kinds)]
    if len(found) == 1:
        return found[0]
    names = " or ".join(kind.__name__ for kind in kinds)
    raise ValueError(
        f"{what} holds {len(found) or 'no'} states of {names}, and one is wanted; pass "
        "the state of one transformation, or a part of it."
    )
