"""Noise and rounding are the definitions', in JAX's arithmetic."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.typing import NDArray

import mementum.optax as mx
from mementum.family import noise as definition
from mementum.family import rounding
from mementum.optax import formats, noise

STEPS = [
    *range(1, 12),
    *(2**n + d for n in range(5, 31) for d in (-1, 0, 1)),
    2**31 - 1,
]
NAMES = ["weight", "layers.0.bias", "x"]
# Every exponent with both signs and a few mantissas, NaNs left to their own test.
PATTERNS = np.array(
    [
        (sign << 31) | (exponent << 23) | mantissa
        for sign in (0, 1)
        for exponent in range(255)
        for mantissa in (0, 1, 0x7FFF, 0x8000, 0x8001, 0x18000, 0x7FFFFF)
    ]
    + [0x7F800000, 0xFF800000],
    dtype=np.uint32,
)
# XLA takes what is below for zero.
NORMAL = PATTERNS[((PATTERNS & 0x7FFFFFFF) == 0) | ((PATTERNS & 0x7F800000) != 0)]


def words(
    step: int, shape: tuple[int, ...] = (), name: str = "x"
) -> NDArray[np.uint32]:
    (own,) = noise.words(3, [name], [shape], jnp.int32(step), "state")
    return np.asarray(own)


def test_keys_are_the_definitions() -> None:
    identities = [definition.identity(7, name) for name in NAMES]
    run = jax.jit(jax.vmap(lambda step: noise.keys(identities, step)))
    high, low = run(np.array(STEPS, np.int32))
    expected = np.array(
        [definition.keys(np.array(identities, np.uint64), step) for step in STEPS]
    )
    np.testing.assert_array_equal(high, (expected >> np.uint64(32)).astype(np.uint32))
    np.testing.assert_array_equal(low, expected.astype(np.uint32))


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5, 2)])
@pytest.mark.parametrize("step", [1, 1000, 2**31 - 1])
def test_words_are_the_definitions(step: int, shape: tuple[int, ...]) -> None:
    key = definition.key(3, "weight", step)
    expected = definition.words(key, 0, int(np.prod(shape))).reshape(shape)
    np.testing.assert_array_equal(words(step, shape, "weight"), expected)


def test_elements_beyond_32_bits_are_numbered_on() -> None:
    shape, rows = (3, 2**31 - 5), (0, 1, 2)

    def last(row: int) -> jax.Array:
        (own,) = noise.words(3, ["x"], [shape], jnp.int32(9), "state")
        return own[row, -4:]

    key = definition.key(3, "x", 9)
    for row in rows:
        start = (row + 1) * shape[1] - 4
        got = jax.jit(last, static_argnums=0)(row)
        np.testing.assert_array_equal(got, definition.words(key, start, 4))


@pytest.mark.parametrize("step", [1, 2, 3])
def test_rounding_is_the_definitions(step: int) -> None:
    own = words(step, NORMAL.shape)
    x, given = jnp.asarray(NORMAL.view(np.float32)), jnp.asarray(own)
    pairs = {
        "momentum": (
            formats.momentum(x, formats.BFLOAT16, given),
            rounding.bfloat16_momentum(NORMAL, own),
        ),
        "square": (
            formats.square(x, formats.BFLOAT16, given),
            rounding.bfloat16_square(NORMAL, own),
        ),
        "peak": (formats.peak(x, formats.BFLOAT16), rounding.bfloat16(NORMAL, None)),
        "parameter": (formats.parameter(x, given), rounding.bfloat16(NORMAL, own)),
    }
    for name, (ours, expected) in pairs.items():
        bits = np.asarray(ours).view(np.uint16)
        np.testing.assert_array_equal(bits, expected, err_msg=name)


def test_what_is_no_number_stays_none() -> None:
    bad = jnp.array([jnp.nan, jnp.inf, -jnp.inf])
    own = jnp.asarray(words(1, (3,)))
    for rounded in (
        formats.momentum(bad, formats.BFLOAT16, own),
        formats.square(bad, formats.BFLOAT16, own),
        formats.peak(bad, formats.BFLOAT16),
        formats.parameter(bad, own),
    ):
        np.testing.assert_array_equal(rounded.astype(jnp.float32), bad)


def test_rounding_is_right_on_average() -> None:
    third = jnp.full(100_000, 1 / 3)
    own = jnp.asarray(words(1, third.shape))
    for rounded in (
        formats.momentum(third, formats.BFLOAT16, own),
        formats.square(third, formats.BFLOAT16, own),
        formats.parameter(third, own),
    ):
        # The spread of a mean of so many, a gap of 2**-9 apart; the momentum's noise
        # has 12 bits, and is off by 2**-13 of the gap.
        mean = np.asarray(rounded, np.float64).mean()
        assert abs(mean - np.float32(1 / 3)) < 2**-9 * (4 * 0.5 / 100_000**0.5 + 2**-13)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e-3, 1.0, 1e5, 1e30])
def test_adding_the_update_gives_exactly_the_rounded_parameter(scale: float) -> None:
    generator = np.random.default_rng(5)
    params = jnp.asarray(generator.normal(size=10_000), jnp.bfloat16)
    steps = jnp.asarray(generator.normal(size=10_000) * scale, jnp.float32)
    inner = optax.GradientTransformation(
        lambda params: optax.EmptyState(), lambda updates, state, params: (steps, state)
    )
    optimizer = mx.round_stochastically(inner, seed=3)
    (own,) = noise.words(3, [""], [params.shape], jnp.int32(1), "parameter")
    expected = formats.parameter(params.astype(jnp.float32) + steps, own)

    @jax.jit
    def step(params: jax.Array) -> jax.Array:
        state = optimizer.init(params)
        updates, _ = optimizer.update(params, state, params)
        return optax.apply_updates(params, updates)

    np.testing.assert_array_equal(step(params), expected)


def test_small_updates_are_not_lost() -> None:
    params = jnp.ones(4096, jnp.bfloat16)
    ends = {}
    for name, optimizer in (
        ("nearest", optax.sgd(1e-4)),
        ("noise", mx.round_stochastically(optax.sgd(1e-4))),
    ):

        def step(carry: tuple[object, jax.Array], _: None, optimizer=optimizer):  # type: ignore[no-untyped-def]
            state, params = carry
            updates, state = optimizer.update(jnp.ones_like(params), state, params)
            return (state, optax.apply_updates(params, updates)), None

        start = optimizer.init(params), params
        end = jax.jit(lambda c, step=step: jax.lax.scan(step, c, length=200)[0])(start)
        ends[name] = float(np.asarray(end[1], np.float64).mean())
    assert ends["nearest"] == 1.0
    # A walk of 200 steps with a gap of 2**-8 spreads by its share's root.
    assert ends["noise"] == pytest.approx(0.98, abs=4 * (0.02 * 2**-8 / 4096) ** 0.5)


def test_squares_in_bfloat16_do_not_stall() -> None:
    optimizer = mx.adam(1e-3, b2=0.999, state_dtype="bfloat16")
    grads = jnp.ones(512)

    def step(state: object, _: None) -> tuple[object, None]:
        return optimizer.update(grads * 2.0, state)[1], None

    begun = optimizer.update(grads, optimizer.init(grads))[1]
    state = jax.jit(lambda s: jax.lax.scan(step, s, length=1000)[0])(begun)
    mean = float(np.asarray(state.square, np.float64).mean())
    # The mean over all: one square of 1, and 1,000 of 4, with Adam's weights.
    share = 0.999**1000 * 0.001 / -np.expm1(1001 * np.log(0.999))
    assert mean == pytest.approx(4 - 3 * share, rel=0.005)


def test_what_is_not_rounded_is_refused_or_left() -> None:
    half = jnp.ones(2, jnp.float16)
    optimizer = mx.round_stochastically(mx.adax(0.1))
    with pytest.raises(TypeError, match="float16"):
        optimizer.init(half)
    with pytest.raises(ValueError, match="params"):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))
    wide = jnp.ones(2)
    ours, _ = optimizer.update(wide, optimizer.init(wide), wide)
    plain = mx.adax(0.1)
    expected, _ = plain.update(wide, plain.init(wide), wide)
    np.testing.assert_array_equal(ours, expected)
