"""What a transformation keeps between steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
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


class RoundingState(NamedTuple):
    """The number of steps taken, and the state of what is rounded."""

    count: Array  # type: ignore[assignment]
    inner: Any


State: TypeAlias = RuleState | PeakRuleState
MEMBER_STATES = (RuleState, PeakRuleState)


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


def by_name(tree: Any, rename: Callable[[str], str] | None) -> dict[str, Any]:
    """Return the leaves of a tree by their names, or those they are renamed to."""
    names, leaves, _ = named_leaves(tree)
    pairs = zip(names, leaves, strict=True)
    return {
        rename(name) if rename else name: leaf
        for name, leaf in pairs
        if leaf is not None
    }


def from_names(
    what: str, like: Any, arrays: dict[str, Any], rename: Callable[[str], str] | None
) -> Any:
    """Return a tree like another of arrays that have its leaves' names.

    Errors: `ValueError`, beginning with `what`, where they are others.
    """
    names, leaves, form = named_leaves(like)
    fresh = []
    for name, old in zip(names, leaves, strict=True):
        own = rename(name) if rename else name
        if old is not None and own not in arrays:
            raise ValueError(
                f"{what} {own!r} is not there, and there are {', '.join(arrays)}; say "
                "with rename what a leaf is called there, and take the same member."
            )
        new = None if old is None else _placed(f"{what} {own!r}", old, arrays[own])
        fresh.append(new)
    return form.unflatten(fresh)


def _placed(what: str, old: Any, new: Any) -> Array:
    if new.shape != old.shape or new.dtype != old.dtype:
        raise ValueError(
            f"{what} is {new.dtype} of shape {new.shape}, and the leaf {old.dtype} of "
            f"shape {old.shape}; take the same state_dtype, and lay moments out as the "
            "parameters: a kernel of flax is a weight of torch transposed."
        )
    placed: Array = jax.device_put(new, getattr(old, "sharding", None))
    return placed


def counted(tree: Any, old: Any, new: Any, step: int) -> Any:
    """Return a tree of states with one replaced, and it and all schedules at a step."""

    def at(node: Any) -> Any:
        count = np.asarray(step, node.count.dtype)
        place = getattr(node.count, "sharding", None)
        return node._replace(count=jax.device_put(count, place))

    def renewed(node: Any) -> Any:
        if node is old:
            return at(new)
        if isinstance(node, RoundingState):
            return at(node)._replace(inner=counted(node.inner, old, new, step))
        return at(node) if isinstance(node, optax.ScaleByScheduleState) else node

    counting = (RoundingState, optax.ScaleByScheduleState)
    return jax.tree.map(
        renewed, tree, is_leaf=lambda node: node is old or isinstance(node, counting)
    )
