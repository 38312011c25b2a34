"""Tests on eight devices, run by `test_companions` in a process of their own."""

from __future__ import annotations

import os
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tests.optax.settings import NAMES, factory
from tests.optax.suites import suite

import mementum.optax as mx

pytestmark = pytest.mark.filterwarnings("default")

# Where all files are looked through for doctests, JAX is not to start.
if "device_count=8" not in os.environ.get("XLA_FLAGS", ""):
    pytest.skip("XLA_FLAGS asks for too few devices", allow_module_level=True)


class Version(str):
    """A version that compares as one: optax 0.2.8 compares the letters of "0.10"."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        mine, theirs = ([int(n) for n in re.findall(r"\d+", v)] for v in (self, other))
        return mine < theirs


@pytest.fixture(autouse=True)
def _version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "__version__", Version(jax.__version__))


ShardingTest = suite(
    "optax._src.sharding_test",
    "ShardingTest",
    OPTIMIZERS={name: factory(name)(1.0) for name in NAMES},
)
# It is about something else.
for _name in [name for name in dir(ShardingTest) if "microbatch" in name]:
    delattr(ShardingTest, _name)

KINDS = {
    "plain": lambda: mx.adaxw(1e-2),
    "noise": lambda: mx.amsgrad(1e-2, state_dtype="bfloat16"),
    "rounded": lambda: mx.round_stochastically(mx.adaxw(1e-2, state_dtype="bfloat16")),
}


def walked(kind: str, sharding: Any) -> list[Any]:
    """Return a parameter and its moments after some steps, laid out in some way."""
    dtype = jnp.bfloat16 if kind == "rounded" else jnp.float32
    start = np.linspace(-1, 1, 16 * 24).reshape(16, 24)
    params = {"w": jax.device_put(jnp.asarray(start, dtype), sharding)}
    optimizer = KINDS[kind]()

    @jax.jit
    def step(state: Any, params: Any) -> tuple[Any, Any]:
        grads = jax.tree.map(lambda x: x * x * 0.37, params)
        updates, state = optimizer.update(grads, state, params)
        return state, optax.apply_updates(params, updates)

    state = optimizer.init(params)
    for _ in range(4):
        state, params = step(state, params)
    return [np.asarray(leaf, np.float32) for leaf in jax.tree.leaves((state, params))]


@pytest.mark.parametrize("axis", [AxisType.Auto, AxisType.Explicit], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_eight_devices_give_the_bits_of_one(kind: str, axis: AxisType) -> None:
    expected = walked(kind, jax.devices()[0])
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(axis, axis))
    with jax.set_mesh(mesh):
        for spec in (("x",), ("y", "x"), (None, ("x", "y"))):
            got = walked(kind, NamedSharding(mesh, PartitionSpec(*spec)))
            for one, other in zip(got, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_shard_map_gives_the_bits_of_one_device_without_noise() -> None:
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))
    optimizer = mx.adaxw(1e-2)
    params = jnp.linspace(-1, 1, 64)
    state = optimizer.init(params)
    spec = PartitionSpec("x")
    places = mx.RuleState(PartitionSpec(), spec, spec)
    update = jax.shard_map(
        optimizer.update,
        mesh=mesh,
        in_specs=(spec, places, spec),
        out_specs=(spec, places),
    )
    own, _ = jax.jit(update)(params * 0.3, state, params)
    expected, _ = jax.jit(optimizer.update)(params * 0.3, state, params)
    np.testing.assert_array_equal(own, expected)


def test_shardings_are_built_by_map_params() -> None:
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))
    place = NamedSharding(mesh, PartitionSpec("x"))
    optimizer = mx.amsgrad(0.1)
    state = jax.eval_shape(optimizer.init, {"w": jnp.ones(16)})
    places = optax.tree.map_params(
        optimizer,
        lambda _: place,
        state,
        transform_non_params=lambda _: NamedSharding(mesh, PartitionSpec()),
    )
    own = jax.jit(optimizer.init, out_shardings=places)({"w": jnp.ones(16)})
    assert own.momentum["w"].sharding == own.peak["w"].sharding == place
