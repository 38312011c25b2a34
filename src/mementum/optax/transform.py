"""A rule as one optax transformation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from mementum.family import limits
from mementum.family.rule import Coefficients, Rule, plainly
from mementum.optax import formats, kernel, noise, state
from mementum.optax.numbers import Cast, coefficients, rounded
from mementum.optax.paths import named_leaves, spread
from mementum.optax.shield import Keep, shield
from mementum.optax.state import PeakRuleState, RuleState, State

# Returns a rule, given its weight decay and what brings a number to float64.
RuleOf: TypeAlias = Callable[[Any, Cast], Rule]
_Numbers: TypeAlias = Callable[[Any, bool], Coefficients]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a transformation does beside its rule.

    Without a `learning_rate` it returns the direction of the step, for others to scale,
    as optax's ``scale_by_...`` do.
    """

    name: str
    peak: bool
    learning_rate: Any = None
    weight_decay: Any = 0.0
    mask: Any = None
    state_dtype: Any = None
    seed: Any = 0

    def check(self) -> None:
        """Refuse what can be known to be wrong."""
        wants = "it wants a finite number of at least 0, or a schedule of them."
        for what in ("learning_rate", "weight_decay"):
            value = getattr(self, what)
            if not (value is None or callable(value) or isinstance(value, jax.Array)):
                limits.number(what, value, wants=wants)
        if isinstance(self.mask, bool | np.bool_ | jax.Array):
            raise TypeError(
                f"mask is {self.mask!r}; it is a tree of True and False, or a function "
                "that returns one. Under inject_hyperparams, which takes a function "
                "for a schedule, pass static_args=('mask',)."
            )
        if formats.stored(self.state_dtype) == formats.BFLOAT16:
            noise.check_seed(self.seed)


def transformation(
    rule_of: RuleOf, settings: Settings
) -> optax.GradientTransformationExtraArgs:
    """Return the transformation of a rule."""
    try:
        settings.check()
        stored = formats.stored(settings.state_dtype)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{settings.name}: {error}") from None

    def init(params: Any) -> State:
        try:
            return state.begin(params, stored, peak=settings.peak)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{settings.name}: {error}") from None

    def update(
        updates: Any, old: State, params: Any = None, **extra_args: Any
    ) -> tuple[Any, State]:
        # Those that other transformations of a chain want.
        del extra_args
        return _updated(rule_of, settings, updates, old, params)

    return optax.GradientTransformationExtraArgs(init, update)


def _updated(
    rule_of: RuleOf, settings: Settings, updates: Any, old: State, params: Any
) -> tuple[Any, State]:
    count = optax.safe_increment(old.count)
    rate = _at(settings.learning_rate, old.count)
    decay = _at(settings.weight_decay, old.count)
    c = coefficients(
        functools.partial(rule_of, decay), count, 1.0 if rate is None else rate
    )
    decays = not (plainly(c.pull, 0) and plainly(c.shrink, 0))
    if decays and params is None:
        raise ValueError(
            f"{settings.name}: weight_decay is not 0, and there were no params; "
            "call update(grads, state, params), or set weight_decay=0.0."
        )

    @functools.cache
    def numbers(dtype: Any, shrinks: bool) -> Coefficients:
        return rounded(c if shrinks else c._replace(pull=0.0, shrink=0.0), dtype)

    names, grads, form = named_leaves(updates)
    moments = [_flat(form, tree) for tree in (old.momentum, old.square)]
    moments.append(_flat(form, old.peak if isinstance(old, PeakRuleState) else None))
    masks = _masks(settings.mask, params, form) if decays else [False] * len(grads)
    words = _words(settings, names, moments[0], count)
    each = [
        _step(numbers, shield(count), *row)
        for row in zip(
            grads, _flat(form, params), zip(*moments, strict=True), masks, words,
            strict=True,
        )
    ]  # fmt: skip
    step, *new = (form.unflatten([row[i] for row in each]) for i in range(4))
    if rate is not None:
        step = jax.tree.map(lax.neg, step)
    if isinstance(old, PeakRuleState):
        return step, PeakRuleState(count, *new)
    return step, RuleState(count, *new[:2])


def _at(value: Any, count: Array) -> Any:
    """Return a number, or a schedule's at a count of steps."""
    return value(count) if callable(value) else value


def _flat(form: Any, tree: Any) -> list[Any]:
    leaves: list[Any] = (
        [None] * form.num_leaves if tree is None else form.flatten_up_to(tree)
    )
    return leaves


def _masks(mask: Any, params: Any, form: Any) -> list[bool]:
    """Return for each leaf whether it decays."""
    if mask is None:
        return [True] * form.num_leaves
    tree = mask(params) if callable(mask) else mask
    return [bool(leaf) for leaf in form.flatten_up_to(spread(tree, params))]


def _words(
    settings: Settings, names: list[str], momenta: list[Any], count: Array
) -> list[Any]:
    """Return the noise of each leaf whose moments are stored in bfloat16."""
    words = [None] * len(names)
    noisy = [
        i
        for i, momentum in enumerate(momenta)
        if momentum is not None and momentum.dtype == formats.BFLOAT16
    ]
    if not noisy:
        return words
    keyed = [names[i] for i in noisy]
    shapes = [momenta[i].shape for i in noisy]
    own = iter(noise.words(settings.seed, keyed, shapes, count, "state"))
    return [next(own) if i in noisy else None for i in range(len(names))]


def _step(
    numbers: _Numbers,
    keep: Keep,
    grad: Any,
    param: Any,
    old: tuple[Any, Any, Any],
    decays: bool,
    words: Array | None,
) -> tuple[Any, ...]:
    """Return a leaf's step in its gradient's dtype, and its moments as stored."""
    if grad is None:
        return None, *old
    dtype = formats.computed_dtype(grad, old[0])
    wide = state.read(*old, dtype)
    p = jnp.asarray(keep(jnp.asarray(param)), dtype) if decays else None
    g = jnp.asarray(keep(jnp.asarray(grad)), dtype)
    c = numbers(formats.real_dtype(dtype), decays)
    step, new = kernel.step(c, p, g, wide, keep)
    return lax.convert_element_type(step, grad.dtype), *state.write(new, old, words)
