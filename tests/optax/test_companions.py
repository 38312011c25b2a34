"""What is used beside optax: flax, equinox, orbax, eight devices, and the pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import equinox
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest
from flax import nnx, serialization
from flax.training.train_state import TrainState
from tests.trainers import pages

import mementum.optax as mx

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("default")
LOW = {"state_dtype": "bfloat16"}


def params() -> Any:
    return {"layer": {"w": jnp.linspace(-1.0, 1.0, 12).reshape(3, 4), "b": jnp.ones(4)}}


def stepped(optimizer: Any) -> Any:
    """Return a state after a step."""
    own = params()
    return optimizer.update(own, optimizer.init(own), own)[1]


def assert_same(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


STATES = {
    "plain": lambda: mx.adaxw(0.1),
    "peak": lambda: mx.amsgrad(0.1, **LOW),
    "wrapped": lambda: mx.round_stochastically(
        optax.chain(optax.clip_by_global_norm(1.0), mx.adax(0.1))
    ),
}
states = pytest.mark.parametrize("kind", STATES)


@states
def test_orbax_restores_a_state(kind: str, tmp_path: Path) -> None:
    state = stepped(STATES[kind]())
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        target = jax.eval_shape(lambda: state)
        assert_same(checkpointer.restore(tmp_path / "state", target), state)


@states
def test_flax_serializes_a_state(kind: str) -> None:
    optimizer = STATES[kind]()
    state = stepped(optimizer)
    text = serialization.to_bytes(state)
    restored = serialization.from_bytes(optimizer.init(params()), text)
    assert_same(jax.tree.map(jnp.asarray, restored), state)
    # What a file restores is NumPy's, and steps go on from it.
    more = optimizer.update(params(), restored, params())
    assert_same(more, optimizer.update(params(), state, params()))


def test_a_step_is_exported() -> None:
    optimizer = mx.adaxw(0.1, **LOW)
    own = params()
    state = optimizer.init(own)

    def update(grads: Any, momentum: Any) -> Any:
        return optimizer.update(grads, state._replace(momentum=momentum), own)[0]

    program = jax.export.export(jax.jit(update))(own, state.momentum)
    assert_same(program.call(own, state.momentum), jax.jit(update)(own, state.momentum))


def test_train_state_and_plain_optax_take_the_same_steps() -> None:
    optimizer = mx.adaxw(0.1, **LOW)
    state = TrainState.create(apply_fn=None, params=params(), tx=optimizer)
    own, kept = params(), optimizer.init(params())
    for _ in range(2):
        state = state.apply_gradients(grads=state.params)
        updates, kept = optimizer.update(own, kept, own)
        own = optax.apply_updates(own, updates)
    assert_same(state.params, own)
    assert_same(state.opt_state, kept)


def test_nnx_steps_with_the_names_of_its_paths() -> None:
    model = nnx.Linear(3, 4, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, mx.adam(0.1, **LOW), wrt=nnx.Param)
    plain = {
        "kernel": jnp.asarray(model.kernel[...]),
        "bias": jnp.asarray(model.bias[...]),
    }
    grads = nnx.grad(lambda model: jnp.sum(model(jnp.ones((2, 3))) ** 2))(model)
    own = mx.adam(0.1, **LOW)
    updates, state = own.update(
        {"kernel": grads["kernel"][...], "bias": grads["bias"][...]}, own.init(plain)
    )
    optimizer.update(model, grads)
    np.testing.assert_array_equal(
        model.kernel[...], optax.apply_updates(plain, updates)["kernel"]
    )
    kept = optimizer.opt_state.square["kernel"]
    np.testing.assert_array_equal(kept[...], state.square["kernel"])


def test_equinox_models_take_steps() -> None:
    model = equinox.nn.MLP(2, 1, 8, 1, key=jax.random.key(0))
    optimizer = mx.adaxw(1e-2)
    state = optimizer.init(equinox.filter(model, equinox.is_inexact_array))

    @equinox.filter_jit
    def step(model: Any, state: Any) -> Any:
        loss, grads = equinox.filter_value_and_grad(
            lambda model: jnp.mean(jax.vmap(model)(jnp.ones((4, 2))) ** 2)
        )(model)
        own = equinox.filter(model, equinox.is_inexact_array)
        updates, state = optimizer.update(grads, state, own)
        return equinox.apply_updates(model, updates), state, loss

    losses = []
    for _ in range(20):
        model, state, loss = step(model, state)
        losses.append(float(loss))
    assert losses[-1] < losses[0]


@pytest.mark.process
def test_the_example_trains_alike_in_both() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "jax_digits.py"), "--steps", "100"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    losses = dict(re.findall(r"(\w+) +loss ([\d.]+)", run.stdout))
    assert float(losses["jax"]) == pytest.approx(float(losses["torch"]), rel=0.02)
    assert float(losses["jax"]) < 0.6


def mean_square(scores: Any) -> Any:
    return jnp.mean(scores**2)


def test_the_pages_programs() -> None:
    torch = pytest.importorskip("torch")
    import mementum

    params = {"w": jnp.ones((64, 10)), "b": jnp.zeros(10)}
    batch = jnp.ones((4, 64))
    adamw = optax.adamw(1e-3)
    _, adamw_state = adamw.update(params, adamw.init(params), params)
    named = [
        (key, torch.nn.Parameter(torch.tensor(np.asarray(x))))
        for key, x in params.items()
    ]
    torch_optimizer = mementum.AdaXW(named)
    for _, param in named:
        param.grad = torch.ones_like(param)
    torch_optimizer.step()
    space = pages.run(
        "training/jax.md",
        params=params,
        batch=batch,
        batches=[batch] * 2,
        loss_of=lambda params, batch: mean_square(batch @ params["w"] + params["b"]),
        model_loss=lambda model, batch: mean_square(model(batch)),
        mapped_loss=lambda model, batch: mean_square(jax.vmap(model)(batch)),
        adamw_state=adamw_state,
        torch_optimizer=torch_optimizer,
    )
    assert int(space["opt_state"].count) == 1
    assert np.isfinite(float(space["loss"]))


@pytest.mark.process
def test_eight_devices() -> None:
    """Run `devices.py`, whose number of devices must be said before JAX starts."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/optax/devices.py"],
        env=os.environ | flags,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-4000:]
    # optax's three for each member, and those of the file itself.
    assert re.search(r"\b35 passed", run.stdout), run.stdout[-500:]
