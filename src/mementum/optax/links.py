"""A rule's direction alone, for chains of one's own."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from optax import GradientTransformationExtraArgs

from mementum.family.memory import Memory, Namespace
from mementum.family.rule import Rule
from mementum.optax.members import Number, Shared, dial, member
from mementum.optax.numbers import XP, Cast, cast_average, wide_rule
from mementum.optax.transform import Settings, transformation

__all__ = ["scale_by_memory", "scale_by_rule"]


def scale_by_rule(
    rule: Rule | Callable[[Namespace, Cast], Rule],
    *,
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    """Return the transformation of gradients into the direction of a rule's step.

    It is the step at a learning rate of 1; its weight decay is the rule's. A function
    makes the rule anew in each step, ``(xp, cast) -> Rule``: it applies `cast` to
    numbers that may be traced and takes functions such as `xp.log1p`, so that these are
    computed in float64.

    >>> import mementum, optax
    >>> rule = mementum.Rule(momentum=mementum.Fixed(0.9), square=mementum.Memory(1e-4))
    >>> link = optax.chain(scale_by_rule(rule), optax.scale_by_learning_rate(1e-3))
    """

    def rule_of(_: Any, cast: Cast) -> Rule:
        return _cast(rule, cast) if isinstance(rule, Rule) else rule(XP, cast)

    peak = wide_rule(partial(rule_of, 0.0)).peak
    settings = Settings(
        name="scale_by_rule", peak=peak, state_dtype=state_dtype, seed=seed
    )
    return transformation(rule_of, settings)


def scale_by_memory(
    memory: Number | Memory,
    momentum: Number = 0.9,
    *,
    log_ratio: Number | None = None,
    square_of: str = "gradient",
    peak: bool = False,
    debias_momentum: bool = True,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    state_dtype: Any = None,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    """Return the transformation of gradients into the direction of `mementum`'s step.

    `memory` is the ratio: below 1 forgets, 1 keeps all squares alike, above 1 keeps
    the oldest best.
    """
    options = {
        "momentum": momentum,
        "memory": dial(memory, log_ratio),
        "square_of": square_of,
        "peak": peak,
        "debias_momentum": debias_momentum,
        "eps": eps,
    }
    shared = Shared(None, eps_root, 0.0, None, state_dtype, seed)
    return member("Mementum", options, shared, name="scale_by_memory")


def _cast(rule: Rule, cast: Cast) -> Rule:
    """Return a rule whose numbers are cast, those of its averages too."""
    numbers = ("eps_in", "eps_root", "eps_out", "weight_decay")
    return replace(
        rule,
        momentum=cast_average(rule.momentum, cast),
        square=cast_average(rule.square, cast),
        **{name: cast(getattr(rule, name)) for name in numbers},
    )
