"""The public transformations: each a recipe with its signature.

A signature repeats its recipe's defaults, so that editors and type checkers see them;
a test holds the two equal. Annotations are no strings here, because optax's own tests
tell a schedule's argument by the identity of its annotation.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

from jax import Array
from optax import GradientTransformationExtraArgs, ScalarOrSchedule

from mementum.family import limits
from mementum.family.memory import Memory
from mementum.family.recipes import RECIPES
from mementum.family.rule import Rule
from mementum.optax.numbers import XP, Cast, cast_average, plain, wide_rule
from mementum.optax.transform import Settings, transformation

Number = float | Array
# A tree of True and False like the parameters, or above them, or what returns one.
Mask = Any

_ARGUMENTS = """\
`learning_rate` and `weight_decay` are numbers or schedules, functions of the number of
steps taken before. `eps_root` is added under the root: above 0, gradients through the
step are finite at a square of 0. `mask` says which parameters decay: a tree of True and
False, or a function of the parameters that returns one. `state_dtype` is what moments
are stored in: None for float32 (float64 for float64 parameters), or "bfloat16", rounded
with noise that `seed` and the parameters' names determine. With weight decay, `update`
wants the parameters. Updates have the dtype of their gradients."""
# What errors about a recipe's arguments are to call them here.
_BETAS = {"betas[0]": "b1", "betas[1]": "b2"}
_SPELLED = {"AdamNC": {"momentum": "b1"}, "Mementum": {}}
_NUMBERS = ("betas", "momentum", "memory", "eps")


class Shared(NamedTuple):
    """The arguments that all have."""

    learning_rate: Any
    eps_root: Any
    weight_decay: Any
    mask: Any
    state_dtype: Any
    seed: Any


def adam(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
    *,
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    shared = Shared(learning_rate, eps_root, weight_decay, mask, state_dtype, seed)
    options = {"betas": (b1, b2), "eps": eps}
    return member("Adam", options, shared)


def adamw(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    weight_decay: ScalarOrSchedule = 1e-2,
    mask: Mask = None,
    *,
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    shared = Shared(learning_rate, eps_root, weight_decay, mask, state_dtype, seed)
    options = {"betas": (b1, b2), "eps": eps}
    return member("AdamW", options, shared)


def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
    *,
    variant: Literal["paper", "torch", "optax"] = "paper",
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    shared = Shared(learning_rate, eps_root, weight_decay, mask, state_dtype, seed)
    options = {"betas": (b1, b2), "eps": eps, "variant": variant}
    return member("AMSGrad", options, shared)


def adamnc(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
    *,
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    shared = Shared(learning_rate, eps_root, weight_decay, mask, state_dtype, seed)
    options = {"momentum": b1, "eps": eps}
    return member("AdamNC", options, shared)


def adax(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 1e-4,
    eps: Number = 1e-12,
    eps_root: Number = 0.0,
    weight_decay: ScalarOrSchedule = 5e-4,
    mask: Mask = None,
    *,
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    shared = Shared(learning_rate, eps_root, weight_decay, mask, state_dtype, seed)
    options = {"betas": (b1, b2), "eps": eps}
    return member("AdaX", options, shared)


def adaxw(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 1e-4,
    eps: Number = 1e-12,
    eps_root: Number = 0.0,
    weight_decay: ScalarOrSchedule = 5e-2,
    mask: Mask = None,
    *,
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    shared = Shared(learning_rate, eps_root, weight_decay, mask, state_dtype, seed)
    options = {"betas": (b1, b2), "eps": eps}
    return member("AdaXW", options, shared)


def adamnx(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 0.99,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    weight_decay: ScalarOrSchedule = 1e-2,
    mask: Mask = None,
    *,
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    shared = Shared(learning_rate, eps_root, weight_decay, mask, state_dtype, seed)
    options = {"betas": (b1, b2), "eps": eps}
    return member("AdamNX", options, shared)


def adamomentum(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-16,
    eps_root: Number = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
    *,
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    shared = Shared(learning_rate, eps_root, weight_decay, mask, state_dtype, seed)
    options = {"betas": (b1, b2), "eps": eps}
    return member("AdaMomentum", options, shared)


def mementum(
    learning_rate: ScalarOrSchedule,
    momentum: Number = 0.9,
    memory: Number | Memory = 1.0001,
    *,
    log_ratio: Number | None = None,
    square_of: Literal["gradient", "momentum", "residual"] = "gradient",
    peak: bool = False,
    debias_momentum: bool = True,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    shared = Shared(learning_rate, eps_root, weight_decay, mask, state_dtype, seed)
    options = {
        "momentum": momentum,
        "memory": dial(memory, log_ratio),
        "square_of": square_of,
        "peak": peak,
        "debias_momentum": debias_momentum,
        "eps": eps,
    }
    return member("Mementum", options, shared)


MEMBERS: tuple[Callable[..., Any], ...] = (
    adam,
    adamw,
    amsgrad,
    adamnc,
    adax,
    adaxw,
    adamnx,
    adamomentum,
    mementum,
)


def member(
    recipe: str, options: Mapping[str, Any], shared: Shared, name: str | None = None
) -> GradientTransformationExtraArgs:
    """Return the transformation of a recipe, whose errors begin with its name."""
    name = name or recipe.lower()
    function = RECIPES[recipe].function
    given = shared._asdict()
    root = given.pop("eps_root")

    def rule_of(decay: Any, cast: Cast) -> Rule:
        cast_options = {key: _cast(value, cast) for key, value in known.items()}
        rule = function(**cast_options, weight_decay=cast(decay), xp=XP)
        return replace(rule, eps_root=cast(eps_root))

    try:
        known = {key: _plain(key, value) for key, value in options.items()}
        eps_root = plain("eps_root", root)
        if isinstance(eps_root, float | int):
            limits.number("eps_root", eps_root, wants="it wants 0 or more, as 1e-12.")
        made = wide_rule(partial(rule_of, 0.0))
    except (TypeError, ValueError) as error:
        text = str(error)
        for theirs, ours in _SPELLED.get(recipe, _BETAS).items():
            if text.startswith(f"{theirs} "):
                text = ours + text.removeprefix(theirs)
        raise type(error)(f"{name}: {text}") from None
    return transformation(rule_of, Settings(name=name, peak=made.peak, **given))


def dial(memory: Any, log_ratio: Any) -> Any:
    """Return what the recipe takes as its memory; a `log_ratio` goes before a ratio."""
    if log_ratio is None:
        return memory
    return Memory(plain("log_ratio", log_ratio))


def _plain(key: str, value: Any) -> Any:
    """Return an option whose numbers are Python's or JAX's."""
    if key == "betas":
        return tuple(map(plain, _BETAS, value))
    if key not in _NUMBERS or isinstance(value, Memory | Mapping):
        return value
    return plain(key, value)


def _cast(value: Any, cast: Cast) -> Any:
    if isinstance(value, Memory):
        return cast_average(value, cast)
    return tuple(map(cast, value)) if isinstance(value, tuple) else cast(value)


def _describe(function: Callable[..., Any], recipe: str) -> None:
    """Give a transformation its recipe's page."""
    known = RECIPES[recipe]
    function.__doc__ = (
        f"{inspect.getdoc(known.function)}\n\nSource: {known.paper}\n\n{_ARGUMENTS}\n"
    )


for _function, _recipe in zip(MEMBERS, RECIPES, strict=True):
    _describe(_function, _recipe)
