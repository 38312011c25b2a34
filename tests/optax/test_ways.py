"""A step has the same bits whatever it is compiled with, and wrapped in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.optax import settings

import mementum.optax as mx

Tree = Any
STEPS = 4
# With either decay, and moments rounded with noise that is keyed by names.
KINDS: dict[str, Callable[[], Any]] = {
    "decoupled": lambda: mx.adaxw(1e-2),
    "coupled": lambda: mx.adam(1e-2, weight_decay=0.1, eps_root=1e-9),
    "low": lambda: mx.amsgrad(1e-2, state_dtype="bfloat16"),
}


def params() -> Tree:
    return {key: jnp.asarray(each) for key, each in settings.start().items()}


def gradient(params: Tree) -> Tree:
    """Return gradients that end in a product, which could be contracted."""
    return jax.grad(lambda p: sum(jnp.sum(x * x * 0.37) for x in p.values()))(params)


def step_of(optimizer: Any, gradient: Any = gradient) -> Any:
    def step(state: Any, params: Tree) -> tuple[Any, Tree]:
        updates, state = optimizer.update(gradient(params), state, params)
        return state, optax.apply_updates(params, updates)

    return step


def walked(optimizer: Any, step: Any) -> Tree:
    own = params()
    state = optimizer.init(own)
    for _ in range(STEPS):
        state, own = step(state, own)
    return own


def apart(optimizer: Any) -> Tree:
    """Step by three programs: the gradient, the update, and its sum."""
    grad, update = jax.jit(gradient), jax.jit(optimizer.update)
    add = jax.jit(optax.apply_updates)

    def step(state: Any, own: Tree) -> tuple[Any, Tree]:
        updates, state = update(grad(own), state, own)
        return state, add(own, updates)

    return walked(optimizer, step)


def scanned(optimizer: Any) -> Tree:
    step = step_of(optimizer)

    def body(carry: Any, _: None) -> Any:
        return step(*carry), None

    start = optimizer.init(params()), params()
    return jax.jit(lambda c: jax.lax.scan(body, c, length=STEPS)[0][1])(start)


def mapped(optimizer: Any) -> Tree:
    """Step by vmap over one run."""
    one = jax.tree.map(lambda x: x[None], (optimizer.init(params()), params()))
    step = jax.jit(jax.vmap(step_of(optimizer)))
    for _ in range(STEPS):
        one = step(*one)
    return jax.tree.map(lambda x: x[0], one[1])


def donated(optimizer: Any) -> Tree:
    return walked(optimizer, jax.jit(step_of(optimizer), donate_argnums=(0, 1)))


def conditional(optimizer: Any) -> Tree:
    step = step_of(optimizer)

    @jax.jit
    def maybe(state: Any, own: Tree) -> tuple[Any, Tree]:
        return jax.lax.cond(own["s"] < 2, step, lambda *same: same, state, own)

    return walked(optimizer, maybe)


def partitioned(optimizer: Any) -> Any:
    labels = {"0.weight": "a", "0.bias": "b", "s": "b"}
    return optax.partition({"a": optimizer, "b": optimizer}, labels)


def jitted(optimizer: Any) -> Tree:
    return walked(optimizer, jax.jit(step_of(optimizer)))


WRAPPED: dict[str, Callable[[Any], Any]] = {
    "partition": partitioned,
    "masked": lambda each: optax.masked(each, lambda tree: dict.fromkeys(tree, True)),
    "MultiSteps": lambda each: optax.MultiSteps(each, 1),
    "apply_if_finite": lambda each: optax.apply_if_finite(each, 2),
    "chain": lambda each: optax.chain(optax.identity(), each),
}
WAYS: dict[str, Callable[[Any], Tree]] = {
    "eagerly": lambda each: walked(each, step_of(each)),
    "apart": apart,
    "scan": scanned,
    "vmap": mapped,
    "donated": donated,
    "cond": conditional,
    **{
        name: lambda each, wrap=wrap: jitted(wrap(each))  # type: ignore[misc]
        for name, wrap in WRAPPED.items()
    },
}


def assert_same(one: Tree, other: Tree) -> None:
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@pytest.mark.parametrize("kind", KINDS)
def test_a_way_changes_no_bit(kind: str) -> None:
    expected = jitted(KINDS[kind]())
    ways = WAYS if kind == "decoupled" else dict(list(WAYS.items())[:3])
    for name, way in ways.items():
        try:
            assert_same(way(KINDS[kind]()), expected)
        except AssertionError as error:
            raise AssertionError(name) from error


def test_a_gradient_in_bfloat16_is_rounded_before_it_is_read() -> None:
    def tenth(params: Tree) -> Tree:
        return jax.tree.map(lambda x: x * jnp.bfloat16(0.1), params)

    optimizer = mx.adam(1e-2)
    for each in (optimizer, mx.round_stochastically(optimizer)):
        own = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params())
        state = each.init(own)
        inside = jax.jit(step_of(each, tenth))(state, own)
        updates, after = jax.jit(each.update)(jax.jit(tenth)(own), state, own)
        leaves = jax.tree.leaves(after), jax.tree.leaves(inside[0])
        for one, other in zip(*leaves, strict=True):
            np.testing.assert_array_equal(one, other)
        assert_same(jax.jit(optax.apply_updates)(own, updates), inside[1])


def test_float64_switched_on_changes_no_bit() -> None:
    expected = jitted(KINDS["decoupled"]())
    with jax.enable_x64(True):
        assert_same(jitted(KINDS["decoupled"]()), expected)


def test_a_flat_run_has_the_same_bits() -> None:
    flat = optax.flatten(mx.adam(1e-2))
    assert_same(jitted(flat), jitted(mx.adam(1e-2)))


def test_rates_and_memories_can_be_mapped_over() -> None:
    own = params()
    grads = gradient(own)

    def update(rate: Any, b2: Any) -> Tree:
        optimizer = mx.adax(rate, b2=b2)
        return optimizer.update(grads, optimizer.init(own), own)[0]

    rates, memories = jnp.array([0.1, 0.2]), jnp.array([1e-4, 1e-2])
    together = jax.jit(jax.vmap(update))(rates, memories)
    for i in range(2):
        one = {key: array[i] for key, array in together.items()}
        assert_same(one, update(rates[i], memories[i]))


def test_one_trace_serves_all_steps() -> None:
    traces = []
    optimizer = mx.adaxw(
        lambda count: 0.1 / (1.0 + count.astype(jnp.float32)), state_dtype="bfloat16"
    )

    def step(state: Any, own: Tree) -> tuple[Any, Tree]:
        traces.append(1)
        return step_of(optimizer)(state, own)

    with jax.numpy_dtype_promotion("strict"):
        own = walked(optimizer, jax.jit(step))
    assert len(traces) == 1
    assert own["s"].dtype == np.float32


def test_masks_leave_parameters_without_decay() -> None:
    own = params()
    grads = gradient(own)
    masks: list[Any] = [
        {"0.weight": True, "0.bias": False, "s": False},
        lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree),
    ]
    plain, decayed = mx.adaxw(0.1, weight_decay=0.0), mx.adaxw(0.1)
    without = plain.update(grads, plain.init(own))[0]
    whole = decayed.update(grads, decayed.init(own), own)[0]
    expected = {**without, "0.weight": whole["0.weight"]}
    for mask in masks:
        optimizer = mx.adaxw(0.1, mask=mask)
        assert_same(optimizer.update(grads, optimizer.init(own), own)[0], expected)


def test_a_leaf_without_a_gradient_stays_as_it_is() -> None:
    own = params()
    grads = {**gradient(own), "0.bias": None}
    for optimizer in (mx.adaxw(0.1), mx.round_stochastically(mx.adaxw(0.1))):
        state = optimizer.init(own)
        updates, new = optimizer.update(grads, state, own)
        assert updates["0.bias"] is None
        assert jax.tree.structure(new) == jax.tree.structure(state)


def test_hyperparameters_can_be_injected() -> None:
    own = params()
    grads = gradient(own)
    inject = optax.inject_hyperparams
    for make, options in (
        (mx.adax, {"b2": 1e-4}),
        (mx.mementum, {"log_ratio": 1e-4}),
        (mx.amsgrad, {"variant": "torch"}),
    ):
        plain, injected = make(0.1, **options), inject(make)(0.1, **options)
        expected, _ = plain.update(grads, plain.init(own), own)
        got, _ = injected.update(grads, injected.init(own), own)
        for key in own:
            np.testing.assert_allclose(got[key], expected[key], rtol=1e-5)
    low = inject(mx.adam, static_args=("seed",))(0.1, state_dtype="bfloat16")
    low.update(grads, low.init(own), own)
    with pytest.raises(TypeError, match="static_args=\\('seed',\\)"):
        inject(mx.adam)(0.1, state_dtype="bfloat16").init(own)
    with pytest.raises(TypeError, match="give it as a word"):
        inject(mx.adam)(0.1, state_dtype=jnp.bfloat16).init(own)
    with pytest.raises(TypeError, match="static_args=\\('mask',\\)"):
        inject(mx.adamw)(0.1, mask=lambda tree: False).init(own)
