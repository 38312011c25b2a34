"""The numbers of a step, and derivatives with respect to them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.gradients import heavy_tailed
from tests.optax import settings
from tests.published import TRANSCRIPTIONS

import mementum.optax as mx
from mementum.family.memory import Fixed, Memory
from mementum.family.recipes import RECIPES
from mementum.family.rule import Rule
from mementum.optax import transform
from mementum.optax.numbers import XP, coefficients, rounded

# From one on, around powers of two, up to the last that is counted.
COUNTS = sorted({1, 2, 3, 2**31 - 1, *(int(1.3**n) for n in range(82))})
LIMITS = {
    "b1 = 0": Rule(momentum=Fixed(0.0), square=Memory.adam(0.999), debias_momentum=True),
    "b2 = 0": Rule(momentum=Fixed(0.9), square=Memory.adam(0.0)),
    "ratio = 1": Rule(momentum=Fixed(0.9), square=Memory(0.0)),
    "kappa = 7": Rule(momentum=Fixed(0.9), square=Memory(7e-3)),
}  # fmt: skip
RULES = {**{name: each.rule({}) for name, each in RECIPES.items()}, **LIMITS}


def same_bits(ours: Any, host: list[float]) -> None:
    """Refuse numbers that are not the host's, rounded once; XLA flushes tiny ones."""
    expected = np.array(host, np.float64).astype(np.float32)
    expected[np.abs(expected) < np.finfo(np.float32).tiny] = 0.0
    np.testing.assert_array_equal(np.asarray(ours), expected)


@pytest.mark.parametrize("name", RULES)
def test_the_numbers_are_the_hosts_rounded_once(name: str) -> None:
    rule = RULES[name]

    @jax.jit
    @jax.vmap
    def numbers(count: Any) -> Any:
        c = rounded(coefficients(lambda cast: rule, count, 1e-3), np.float32)
        return jax.tree.map(jnp.asarray, c._asdict())

    ours = numbers(jnp.array(COUNTS, jnp.int32))
    host = [rule.at(t, 1e-3)._asdict() for t in COUNTS]
    for number in host[0]:
        same_bits(ours[number], [each[number] for each in host])


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_traced_ratios_reach_their_limits(ratio: float) -> None:
    memory = Memory.from_ratio(ratio)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def weights(ratio: Any, count: Any) -> Any:
        c = coefficients(
            lambda cast: Rule(
                momentum=Fixed(0.9), square=Memory.from_ratio(cast(ratio), XP)
            ),
            count,
            1.0,
        )
        return rounded(c, np.float32).take_v

    got = weights(jnp.float32(ratio), jnp.array(COUNTS, jnp.int32))
    host = [memory.weight(t) for t in COUNTS]
    np.testing.assert_allclose(got, host, rtol=2.0**-23)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_limits_hold_in_float32_too(ratio: float) -> None:
    @jax.jit
    def weights(ratio: Any, t: Any) -> Any:
        return Memory.from_ratio(ratio, jnp).weight(t, jnp)

    counts = np.array(COUNTS, np.float32)
    host = [Memory.from_ratio(ratio).weight(t) for t in COUNTS]
    np.testing.assert_allclose(
        weights(jnp.float32(ratio), counts), host, rtol=4 * 2.0**-23
    )


# --- Published transcriptions ---------------------------------------------------------

STEPS, ELEMENTS = 60, 16
GRADIENTS = heavy_tailed(STEPS, ELEMENTS, seed=20200419)
START = np.random.default_rng(7).normal(size=ELEMENTS)


def published(name: str) -> NDArray[np.float64]:
    options = dict(RECIPES[name].defaults)
    return TRANSCRIPTIONS[name](GRADIENTS, START, RECIPES[name].lr, **options)


@pytest.mark.parametrize("name", settings.NAMES)
def test_a_run_in_float64_is_the_published_one(name: str) -> None:
    optimizer = settings.optimizer(name, {})

    def step(carry: Any, grad: Any) -> Any:
        state, params = carry
        updates, state = optimizer.update(grad, state, params)
        return (state, params + updates), params + updates

    with jax.enable_x64(True):
        start = jnp.asarray(START)
        begun = optimizer.init(start), start
        path = jax.jit(lambda g: jax.lax.scan(step, begun, g)[1])(
            jnp.asarray(GRADIENTS)
        )
        assert path.dtype == np.float64
        np.testing.assert_allclose(path, published(name), rtol=1e-11, atol=1e-12)


# --- Derivatives ----------------------------------------------------------------------


def after(optimizer: Any, start: Any, steps: int = 3) -> Any:
    """Return the sum of parameters after some steps down a quartic."""
    state, params = optimizer.init(start), start
    for _ in range(steps):
        grads = jax.grad(lambda x: jnp.sum(x**4))(params)
        updates, state = optimizer.update(grads, state, params)
        params = params + updates
    return jnp.sum(params**2)


OF: dict[str, tuple[Callable[[Any], Any], float]] = {
    "rate": (mx.adamw, 0.1),
    "b2 of AdaX": (lambda x: mx.adax(0.1, b2=x), 1e-2),
    "log_ratio": (lambda x: mx.mementum(0.1, log_ratio=x), 1e-2),
    "b1": (lambda x: mx.amsgrad(0.1, b1=x, variant="torch"), 0.8),
    "decay": (lambda x: mx.adaxw(0.1, weight_decay=x), 0.1),
}


@pytest.mark.parametrize("name", OF)
def test_a_derivative_is_the_quotient_of_differences(name: str) -> None:
    make, x = OF[name]
    with jax.enable_x64(True):
        start = jnp.array([1.0, -0.5, 0.3])

        @jax.jit
        def f(x: Any) -> Any:
            return after(make(x), start)

        slope, h = float(jax.grad(f)(x)), 1e-6 * max(abs(x), 1e-2)
        quotient = float((f(x + h) - f(x - h)) / (2 * h))
    assert slope != 0
    assert slope == pytest.approx(quotient, rel=1e-4)


def test_the_shield_changes_no_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    def slope() -> Any:
        start = jnp.array([1.0, -0.5, 0.3])
        return jax.grad(lambda p: after(mx.adaxw(0.1), p))(start)

    shielded = slope()
    monkeypatch.setattr(transform, "shield", lambda count: lambda x: x)
    np.testing.assert_allclose(shielded, slope(), rtol=1e-5)
    assert np.all(np.asarray(shielded) != 0)


@pytest.mark.parametrize(("eps_root", "finite"), [(1e-12, True), (0.0, False)])
def test_eps_root_makes_derivatives_at_zero_finite(
    eps_root: float, finite: bool
) -> None:
    optimizer = mx.adam(0.1, eps_root=eps_root)

    def loss(weight: Any) -> Any:
        grads = jnp.zeros(3) * weight
        updates, _ = optimizer.update(grads, optimizer.init(grads), grads)
        return jnp.sum(updates)

    assert math.isfinite(float(jax.grad(loss)(1.0))) == finite


def test_a_rule_of_ones_own_is_a_members_direction() -> None:
    rule = RECIPES["Adam"].rule({})
    grads = jnp.array([1.0, -3.0])
    link, member = mx.scale_by_rule(rule), mx.adam(1.0)
    memory = mx.scale_by_memory(0.999, 0.9)
    expected, _ = member.update(grads, member.init(grads))
    for own in (link, memory):
        direction, _ = own.update(grads, own.init(grads))
        np.testing.assert_array_equal(-direction, expected)

    def traced(b2: Any) -> Any:
        made = mx.scale_by_rule(
            lambda xp, cast: Rule(
                momentum=Fixed(0.9),
                square=Memory.adam(cast(b2), xp),
                debias_momentum=True,
                eps_out=1e-8,
            )
        )
        return made.update(grads, made.init(grads))[0]

    got = jax.jit(traced)(jnp.float32(0.999))
    np.testing.assert_allclose(-got, expected, rtol=1e-6)
