"""Parameters in bfloat16 that lose no update, however small."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from mementum.optax import formats, noise
from mementum.optax.paths import is_none, named_leaves
from mementum.optax.shield import Keep, shield
from mementum.optax.state import RoundingState

__all__ = ["round_stochastically"]


def round_stochastically(
    inner: optax.GradientTransformation, seed: int = 0
) -> optax.GradientTransformationExtraArgs:
    """Return a transformation that rounds bfloat16 parameters with noise.

    `inner` takes the step in float32, and what it returns becomes, in float32,

        update = round(param + update) - param,

    so that `optax.apply_updates` gives exactly the rounded parameter. Parameters in
    float32 or wider are updated as `inner` says. equinox's `apply_updates` would turn
    the parameters to float32: use optax's.

    Errors: `TypeError` for float16 parameters, `ValueError` without parameters.
    """
    inner = optax.with_extra_args_support(inner)
    noise.check_seed(seed)

    def init(params: Any) -> RoundingState:
        wide = jax.tree.map(_wide, params, is_leaf=is_none)
        return RoundingState(jnp.zeros([], jnp.int32), inner.init(wide))

    def update(
        updates: Any, state: RoundingState, params: Any = None, **extra_args: Any
    ) -> tuple[Any, RoundingState]:
        if params is None:
            raise ValueError(
                "round_stochastically: update was given no params, which it rounds; "
                "call update(grads, state, params)."
            )
        count = optax.safe_increment(state.count)
        keep = shield(count)
        grads, points = (
            jax.tree.map(lambda leaf: _wide(leaf, keep), tree, is_leaf=is_none)
            for tree in (updates, params)
        )
        steps, kept = inner.update(grads, state.inner, points, **extra_args)
        rounded = _all_rounded(seed, count, keep, steps, params, points)
        return rounded, RoundingState(count, kept)

    return optax.GradientTransformationExtraArgs(init, update)


def _all_rounded(
    seed: int, count: Array, keep: Keep, steps: Any, params: Any, points: Any
) -> Any:
    """Return steps, where a parameter is bfloat16 to the rounded sum from its point."""
    names, leaves, form = named_leaves(steps)
    params, points = map(form.flatten_up_to, (params, points))
    low = [
        i
        for i, (step, param) in enumerate(zip(leaves, params, strict=True))
        if step is not None and param.dtype == formats.BFLOAT16
    ]
    shapes = [params[i].shape for i in low]
    words = noise.words(seed, [names[i] for i in low], shapes, count, "parameter")
    for i, own in zip(low, words, strict=True):
        leaves[i] = _rounded(keep(leaves[i]), points[i], own)
    return form.unflatten(leaves)


def _rounded(step: Array, param: Array, words: Array) -> Array:
    """Return the way to the rounded sum; the step is shielded from contraction."""
    new = jnp.asarray(formats.parameter(param + step, words), jnp.float32)
    # Of two infinities the difference is none.
    return jnp.where(new == param, jnp.zeros_like(param), new - param)


def _wide(leaf: Any, keep: Keep = lambda x: x) -> Any:
    """Return a bfloat16 array, or what stands for one, in float32."""
    if leaf is None:
        return None
    if leaf.dtype == jnp.float16:
        raise TypeError(
            "round_stochastically: a parameter or its gradient is float16, which is "
            "not rounded; keep it in bfloat16 or float32."
        )
    if leaf.dtype != formats.BFLOAT16:
        return leaf
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf.update(dtype=jnp.float32)  # type: ignore[no-untyped-call]
    return jnp.asarray(keep(jnp.asarray(leaf)), jnp.float32)
