"""What the transformations take, keep, refuse and import."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.optax.settings import NAMES, factory

import mementum.optax as mx
from mementum.family.memory import Memory
from mementum.family.recipes import RECIPES

names = pytest.mark.parametrize("name", NAMES)
KEYWORDS = {
    "eps_root": 0.0,
    "mask": None,
    "state_dtype": None,
    "seed": 0,
    "log_ratio": None,
}


def test_there_is_a_transformation_for_each_recipe() -> None:
    assert [member.__name__ for member in mx.MEMBERS] == [
        name.lower() for name in NAMES
    ]
    assert {name for name in mx.__all__ if name.islower()} <= set(dir(mx))


@names
def test_defaults_are_the_recipes(name: str) -> None:
    arguments = inspect.signature(factory(name)).parameters
    own = {
        key: each.default for key, each in arguments.items() if key != "learning_rate"
    }
    assert own["eps_root"] == 0.0
    assert {
        key: own.pop(key) for key in KEYWORDS if key in own
    }.items() <= KEYWORDS.items()
    expected = dict(RECIPES[name].defaults)
    expected.pop("decoupled_weight_decay")
    if "betas" in expected:
        expected |= dict(zip(("b1", "b2"), expected.pop("betas"), strict=True))
    if name == "AdamNC":
        expected["b1"] = expected.pop("momentum")
    assert own == expected


@names
def test_arguments_are_those_of_optax(name: str) -> None:
    arguments = inspect.signature(factory(name)).parameters
    first = next(iter(arguments.values()))
    assert first.name == "learning_rate"
    assert first.default is inspect.Parameter.empty
    for each in ("learning_rate", "weight_decay"):
        # By identity, as optax looks for schedules.
        assert arguments[each].annotation is optax.ScalarOrSchedule
    kinds = {each.kind for each in arguments.values()}
    assert kinds <= {first.KEYWORD_ONLY, first.POSITIONAL_OR_KEYWORD}
    for each in ("state_dtype", "seed"):
        assert arguments[each].kind is first.KEYWORD_ONLY


@names
def test_no_number_changes_the_form_of_the_state(name: str) -> None:
    params = {"a": jnp.ones(2)}
    member = factory(name)
    form = jax.tree.structure(member(1e-3).init(params))
    others: list[dict[str, Any]] = [
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "eps": 0.0, "eps_root": 1e-3},
        {"weight_decay": lambda count: 0.1},
        {"state_dtype": jnp.bfloat16},
    ]
    for options in others:
        assert jax.tree.structure(member(0.0, **options).init(params)) == form
    traced = jax.eval_shape(lambda x: member(x, weight_decay=x).init(params), 0.1)
    assert jax.tree.structure(traced) == form


@names
def test_a_page_says_what_it_is(name: str) -> None:
    page = inspect.getdoc(factory(name)) or ""
    assert RECIPES[name].summary in page
    assert "eps_root" in page


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_moments_are_as_wide_as_the_step(dtype: str) -> None:
    state = mx.amsgrad(0.1).init(jnp.ones(2, dtype))
    complex_ = dtype == "complex64"
    assert state.momentum.dtype == ("complex64" if complex_ else "float32")
    assert state.square.dtype == state.peak.dtype == np.float32
    updates, _ = mx.amsgrad(0.1).update(jnp.ones(2, dtype), state)
    assert updates.dtype == dtype


def test_a_decay_may_be_a_schedule() -> None:
    params = jnp.ones(3)
    optimizer = mx.adamw(0.1, weight_decay=lambda count: jnp.where(count < 1, 0.5, 0.0))
    state = optimizer.init(params)
    first, state = optimizer.update(jnp.zeros(3), state, params)
    second, _ = optimizer.update(jnp.zeros(3), state, params)
    np.testing.assert_allclose(first, -0.05)
    np.testing.assert_array_equal(second, 0)


def test_a_memory_may_be_given_as_one() -> None:
    grads = jnp.array([1.0, 2.0])
    update = []
    for each in ({"memory": Memory.adax(1e-2)}, {"log_ratio": np.log1p(1e-2)}):
        optimizer = mx.mementum(0.1, **each)
        state = optimizer.update(grads, optimizer.init(grads))[1]
        update.append(optimizer.update(3 * grads, state)[0])
    np.testing.assert_array_equal(*update)


ONES = {"w": np.ones(2, np.float32)}
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "rate": (lambda: mx.adam(-1.0), r"adam: learning_rate is -1.0; .*schedule"),
    "word": (lambda: mx.adam("fast"), r"adam: learning_rate is 'fast'"),
    "b1": (lambda: mx.adamw(0.1, b1=1.0), r"adamw: b1 is 1.0; .*such as 0.9"),
    "b1 alone": (lambda: mx.adamnc(0.1, b1=2), r"adamnc: b1 is 2"),
    "b2": (lambda: mx.adax(0.1, b2=0.999), r"adax: b2 is 0.999; .*about 1e-4"),
    "b2 again": (lambda: mx.adamnx(0.1, b2=1e-4), r"adamnx: b2 is 0.0001; .*AdaX"),
    "no number": (lambda: mx.adam(0.1, b2="x"), r"adam: b2 is 'x'; it wants a number"),
    "array": (lambda: mx.adam(0.1, eps=np.ones(2)), r"adam: eps is .*scalar"),
    "eps": (lambda: mx.adam(0.1, eps=-1e-8), r"adam: eps is -1e-08"),
    "eps_root": (lambda: mx.adam(0.1, eps_root=-1), r"adam: eps_root is -1"),
    "decay": (lambda: mx.adaxw(0.1, weight_decay=-1), r"adaxw: weight_decay is -1"),
    "memory": (lambda: mx.mementum(0.1, memory=-1), r"mementum: memory is -1"),
    "square_of": (lambda: mx.mementum(0.1, square_of="x"), r"square_of is 'x'"),
    "variant": (lambda: mx.amsgrad(0.1, variant="x"), r"amsgrad: variant is 'x'"),
    "mask": (lambda: mx.adam(0.1, mask=True), r"adam: mask is True; it is a tree"),
    "float8": (lambda: mx.adam(0.1, state_dtype="float8"), r"use 'bfloat16'"),
    "float8 dtype": (
        lambda: mx.adam(0.1, state_dtype=jnp.float8_e4m3fn),
        r"use 'bfloat16'",
    ),
    "float16": (lambda: mx.adam(0.1, state_dtype="float16"), r"'float16'; it is None"),
    "float64": (lambda: mx.adam(0.1, state_dtype="float64"), r"jax_enable_x64"),
    "seed": (lambda: mx.adam(0.1, state_dtype="bfloat16", seed=1.5), r"adam: seed is 1.5"),
    "no params": (
        lambda: mx.adaxw(0.1).update(ONES, mx.adaxw(0.1).init(ONES)),
        r"adaxw: weight_decay is not 0.*update\(grads, state, params\)",
    ),
    "integers": (
        lambda: mx.adam(0.1).init({"steps": jnp.ones(2, int)}),
        r"adam: parameter 'steps' is int32.*masked",
    ),
    "narrow": (
        lambda: mx.adam(0.1, state_dtype="bfloat16").init({"z": jnp.ones(2, complex)}),
        r"adam: state_dtype is 'bfloat16', and parameter 'z' is complex64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_argument_value_and_way_out(case: str) -> None:
    act, says = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=says):
        act()


IMPORTED = """
import sys
import mementum
assert not {"jax", "torch"} & set(sys.modules)
import jax.numpy as jnp
import mementum.optax as mx
optimizer = mx.adaxw(1e-3, state_dtype="bfloat16")
optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)), jnp.ones(2))
assert "torch" not in sys.modules
LOWER = ("mementum.optax", "mementum.family", "mementum.install")
ours = {name for name in sys.modules if name.startswith("mementum.")}
assert all(name.startswith(LOWER) for name in ours), ours
"""


@pytest.mark.process
def test_it_runs_without_torch() -> None:
    subprocess.run([sys.executable, "-c", IMPORTED], check=True)
