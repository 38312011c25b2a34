"""Runs that begin on one side go on, on the other."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from tests.optax import settings, store_torch_bits, test_bits
from tests.optax.settings import RUNS, Options

import mementum.optax as mx
from mementum.convert import optax_to_torch, torch_to_optax

MIXED = [("AdaXW", "low moments"), ("AMSGrad", "both low"), ("AdamNX", "float32")]


@pytest.mark.parametrize(("name", "title"), MIXED, ids=[" ".join(one) for one in MIXED])
def test_steps_in_torch_and_in_jax_are_steps_of_one_run(name: str, title: str) -> None:
    run, low = RUNS[title], RUNS[title]["low"]
    optimizer, params = store_torch_bits.begun(name, {}, run)
    store_torch_bits.drive(optimizer, params, range(1, 11), low=low)
    ours, state, tree = test_bits.begun(name, {}, run)
    state = torch_to_optax(optimizer, state)
    tree = {
        key: jnp.asarray(param.detach().float().numpy()).astype(tree[key].dtype)
        for key, param in zip(settings.SHAPES, params, strict=True)
    }
    grads = test_bits.stacked(range(11, 21), low=low)
    state, tree = test_bits.drive(ours, state, tree, grads)
    with torch.no_grad():
        for param, key in zip(params, settings.SHAPES, strict=True):
            param.copy_(torch.tensor(np.asarray(tree[key], np.float32)))
    optimizer.load_state_dict(optax_to_torch(state, optimizer))
    store_torch_bits.drive(optimizer, params, range(21, 31), low=low)
    ends = store_torch_bits.standing(optimizer, params)
    other, whole = store_torch_bits.begun(name, {}, run)
    store_torch_bits.drive(other, whole, range(1, 31), low=low)
    for kind, array in store_torch_bits.standing(other, whole).items():
        np.testing.assert_array_equal(array, ends[kind], err_msg=kind)


def torch_run(**options: Any) -> Any:
    run = RUNS["float32"] | options
    optimizer, params = store_torch_bits.begun("AdaX", {}, run)
    store_torch_bits.drive(optimizer, params, range(1, 3), low=False)
    return optimizer


def begun() -> tuple[Any, Any]:
    ours, state, _ = test_bits.begun("AdaX", {}, RUNS["float32"])
    return optax.chain(optax.clip(1.0), ours), (optax.EmptyState(), state)


def test_leaves_are_found_by_the_names_they_are_renamed_to() -> None:
    optimizer, (_, state) = torch_run(), begun()
    renamed = state[1]
    tree = renamed._replace(
        momentum={f"x{key}": value for key, value in renamed.momentum.items()},
        square={f"x{key}": value for key, value in renamed.square.items()},
    )
    found = torch_to_optax(optimizer, tree, lambda name: name[1:])
    assert int(found.count) == 2
    back = optax_to_torch(found, optimizer, lambda name: name[1:])
    kept = optimizer.state_dict()["state"]
    for key, entry in back["state"].items():
        assert torch.equal(entry["square"], kept[key]["square"])


REFUSED = {
    "another name": (lambda o, s: torch_to_optax(o, s, str.upper), "rename"),
    "another name back": (lambda o, s: optax_to_torch(s, o, str.upper), "rename"),
    "another rule": (
        lambda o, s: torch_to_optax(o, mx.amsgrad(1.0).init(settings.start())),
        "peak",
    ),
    "no state": (lambda o, s: torch_to_optax(o, optax.EmptyState()), "one is wanted"),
    "another format": (
        lambda o, s: torch_to_optax(
            o, mx.adax(1.0, state_dtype="bfloat16").init(settings.start())
        ),
        "state_dtype",
    ),
    "no step": (lambda o, s: torch_to_optax(o.__class__([("a", torch.ones(1))]), s), "no steps"),
    "no names": (lambda o, s: optax_to_torch(s, o.__class__([torch.ones(1)])), "named_parameters"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    act, says = REFUSED[case]
    with pytest.raises(ValueError, match=says):
        act(torch_run(), begun()[1])


def test_float8_moments_are_refused() -> None:
    param = torch.nn.Parameter(torch.ones(64, 64))
    param.grad = torch.ones(64, 64)
    optimizer = torch_run().__class__([("a", param)], state_dtype="float8")
    optimizer.step()
    with pytest.raises(ValueError, match="float8"):
        torch_to_optax(optimizer, mx.adax(1.0).init({"a": jnp.ones((64, 64))}))


# --- optax's own states ---------------------------------------------------------------

THEIRS: dict[str, tuple[Any, Any, Options]] = {
    "adam": (optax.adam, mx.adam, {}),
    "adamw": (optax.adamw, mx.adamw, {"weight_decay": 0.1}),
    "amsgrad": (optax.amsgrad, mx.amsgrad, {}),
}


@pytest.mark.parametrize("name", THEIRS)
def test_a_run_of_optaxs_goes_on_and_comes_back(name: str) -> None:
    theirs, ours, options = THEIRS[name]
    rate = optax.linear_schedule(1e-2, 1e-3, 20)
    one = theirs(rate, b2=0.99, **options)
    variant = {"variant": "optax"} if name == "amsgrad" else {}
    other = ours(rate, b2=0.99, **options, **variant)
    params = jax.tree.map(jnp.asarray, settings.start())
    state, params = test_bits.drive(
        one, one.init(params), params, test_bits.stacked(range(1, 6), low=False)
    )
    adopted = mx.adopt(other.init(params), state, b2=0.99)
    more = test_bits.stacked(range(6, 9), low=False)
    whole, expected = test_bits.drive(one, state, params, more)
    own, got = test_bits.drive(other, adopted, params, more)
    # optax's correction, in float32, is off by some 1e-6 of itself.
    for key in params:
        np.testing.assert_allclose(
            got[key] - params[key], expected[key] - params[key], rtol=1e-4, atol=1e-7
        )
    back = mx.adopt(one.init(params), own, b2=0.99)
    assert jax.tree.structure(back) == jax.tree.structure(whole)
    for mine, its in zip(jax.tree.leaves(back), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-12)


def test_two_states_of_one_side_are_refused() -> None:
    params = jax.tree.map(jnp.asarray, settings.start())
    with pytest.raises(ValueError, match="one of them is to be optax's"):
        mx.adopt(mx.adax(1.0).init(params), mx.adam(1.0).init(params))
    with pytest.raises(ValueError, match="other parameters"):
        mx.adopt(mx.adax(1.0).init(params), optax.adam(1.0).init([params]))
    small = mx.adax(1.0, state_dtype="bfloat16")
    tiny = optax.adam(1.0).init(params)
    low = jax.tree.map(lambda x: np.full(x.shape, 1e-44, np.float32), tiny[0].nu)
    state = mx.adopt(small.init(params), (tiny[0]._replace(nu=low, count=5), tiny[1]))
    # XLA takes numbers so small for zero.
    assert all(np.all(np.asarray(x) > 0) for x in jax.tree.leaves(state.square))
