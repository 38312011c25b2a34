"""XLA on a CPU gives the bits of the torch paths, stored and live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.typing import NDArray
from tests.optax import settings
from tests.optax.settings import CASES, RUNS, Options

import mementum.optax as mx

STORED = np.load(Path(__file__).parent / "torch_bits.npz")


def begun(name: str, options: Options, run: Options) -> tuple[Any, Any, Any]:
    """Return a transformation, its state and parameters, before the first step."""
    params = {key: jnp.asarray(each) for key, each in settings.start().items()}
    optimizer = settings.optimizer(name, options, state_dtype=run["state_dtype"])
    if run["low"]:
        params = low(params)
        optimizer = mx.round_stochastically(optimizer)
    return optimizer, optimizer.init(params), params


def low(tree: Any) -> Any:
    return jax.tree.map(
        lambda x: jnp.asarray(settings.cut(np.asarray(x)), jnp.bfloat16), tree
    )


def stacked(steps: range, *, low: bool) -> Any:
    """Return the gradients of some steps, one above another."""
    each = [settings.gradients(step) for step in steps]
    trees = jax.tree.map(lambda *rows: np.stack(rows), *each)
    if not low:
        return trees
    return jax.tree.map(lambda x: jnp.asarray(settings.cut(x), jnp.bfloat16), trees)


def drive(optimizer: Any, state: Any, params: Any, grads: Any) -> tuple[Any, Any]:
    """Take a step for each row of the gradients, in one program."""

    def step(carry: Any, own: Any) -> Any:
        state, params = carry
        updates, state = optimizer.update(own, state, params)
        return (state, optax.apply_updates(params, updates)), None

    return jax.jit(lambda carry: jax.lax.scan(step, carry, grads)[0])((state, params))


def bits(array: Any) -> NDArray[Any]:
    flat = np.asarray(array).reshape(-1)
    return flat.view(np.uint32 if flat.dtype == np.float32 else np.uint16)


def standing(state: Any, params: Any) -> dict[str, NDArray[Any]]:
    """Return the bits of all parameters and moments, each kind in one array."""
    own = state.inner if isinstance(state, mx.RoundingState) else state
    kinds = {"param": params, **own._asdict()}
    return {
        kind: np.concatenate([bits(tree[name]) for name in settings.SHAPES])
        for kind, tree in kinds.items()
        if kind != "count"
    }


@pytest.mark.parametrize(
    ("title", "name", "options"),
    CASES,
    ids=[f"{title} {settings.named(*each)}" for title, *each in CASES],
)
def test_a_run_has_the_stored_bits(title: str, name: str, options: Options) -> None:
    run = RUNS[title]
    optimizer, state, params = begun(name, options, run)
    grads = stacked(range(1, run["steps"] + 1), low=run["low"])
    ends = standing(*drive(optimizer, state, params, grads))
    prefix = f"{title}/{settings.named(name, options)}/"
    expected = {key for key in STORED if key.startswith(prefix)}
    assert {prefix + kind for kind in ends} == expected
    for kind, own in ends.items():
        np.testing.assert_array_equal(own, STORED[prefix + kind], err_msg=kind)
