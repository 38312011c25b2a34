"""What the tests of the optax transformations run over."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mementum.family import noise
from mementum.family.recipes import RECIPES

Options = dict[str, Any]
Arrays = dict[str, NDArray[Any]]

# Beside the defaults: every switch of every recipe, in the words of optax.
OTHERS: list[tuple[str, Options]] = [
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"b1": 0.0, "b2": 0.5, "eps": 1e-3}),
    ("AMSGrad", {"variant": "torch", "weight_decay": 0.1}),
    ("AMSGrad", {"variant": "optax"}),
    ("AdamNC", {"b1": 0.5, "weight_decay": 0.1}),
    ("AdaX", {"b1": 0.5, "b2": 1e-2, "weight_decay": 0.0}),
    ("AdaMomentum", {"eps": 1e-8, "weight_decay": 0.1}),
    ("Mementum", {"memory": 0.99, "weight_decay": 0.1}),
    ("Mementum", {"memory": 1.0, "debias_momentum": False}),
    ("Mementum", {"square_of": "momentum", "peak": True}),
    ("Mementum", {"square_of": "residual", "weight_decay": 0.1}),
]
NAMES = list(RECIPES)
SETTINGS: list[tuple[str, Options]] = [*((name, {}) for name in NAMES), *OTHERS]
# What is stored of torch's runs: the steps, the format of the moments, and whether the
# parameters are bfloat16, rounded with noise.
RUNS: dict[str, Options] = {
    "float32": {"steps": 200, "state_dtype": None, "low": False},
    "low moments": {"steps": 30, "state_dtype": "bfloat16", "low": False},
    "low parameters": {"steps": 30, "state_dtype": None, "low": True},
    "both low": {"steps": 30, "state_dtype": "bfloat16", "low": True},
}
SHAPES: dict[str, tuple[int, ...]] = {"0.weight": (16, 20), "0.bias": (20,), "s": ()}


# What rounding looks at: any rule will do, and one with a peak.
ROUNDED = [("AdaX", {}), ("AMSGrad", {})]
CASES: list[tuple[str, str, Options]] = [
    *(("float32", *each) for each in SETTINGS),
    *(("low moments", *each) for each in SETTINGS[: len(NAMES)]),
    *((title, *each) for title in ("low parameters", "both low") for each in ROUNDED),
]


def named(name: str, options: Options) -> str:
    """Return the name of a setting."""
    return " ".join([name, *(f"{key}={value}" for key, value in options.items())])


def factory(name: str) -> Callable[..., Any]:
    """Return the transformation of a recipe."""
    import mementum.optax as mx

    member: Callable[..., Any] = getattr(mx, name.lower())
    return member


def optimizer(name: str, options: Options, **execution: Any) -> Any:
    """Return a setting's transformation at its recipe's learning rate."""
    return factory(name)(RECIPES[name].lr, **options, **execution)


def start() -> Arrays:
    """Return the parameters at which runs begin: the same on every machine."""
    return {name: _numbers("start", name, 0) for name in SHAPES}


@cache
def gradients(step: int) -> Arrays:
    """Return the gradients of a step, whose sizes span five decades."""
    sizes = {name: np.exp2(-17 * np.abs(_numbers("size", name, 0))) for name in SHAPES}
    return {name: _numbers("gradient", name, step) * sizes[name] for name in SHAPES}


def _numbers(purpose: str, name: str, step: int) -> NDArray[np.float32]:
    """Return float32 numbers between -1 and 1 that only a name and a step decide."""
    key = noise.key(20200419, f"{purpose} {name}", step)
    shape = SHAPES[name]
    words = noise.words(key, 0, int(np.prod(shape))).astype(np.int64) - 2**31
    return (words / 2**31).astype(np.float32).reshape(shape)


def cut(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return float32 numbers whose lower half of bits is zero: those of bfloat16."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32) & 0xFFFF0000
    whole: NDArray[Any] = bits.astype(np.uint32).view(np.float32).reshape(numbers.shape)
    return whole
