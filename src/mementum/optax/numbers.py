"""The twelve numbers of a step, in float64 whatever JAX is set to.

In float32 they would be off by up to 1e-5 of their size, and a hyperparameter near 1,
such as b2 = 0.9999, by more. Only scalars are computed so wide, and only with the
functions of `lax`, which compile nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias, cast

import jax
import numpy as np
from jax import lax

from mementum.family.memory import Namespace
from mementum.family.rule import Coefficients, Rule

XP = cast("Namespace", lax)
Cast: TypeAlias = Callable[[Any], Any]
# Returns a rule, given what brings a hyperparameter of the user's to float64.
RuleOf: TypeAlias = Callable[[Cast], Rule]


def wide_rule(rule_of: RuleOf) -> Rule:
    """Return a rule whose traced numbers are float64."""
    with jax.enable_x64(True):
        return rule_of(_wide)


def coefficients(rule_of: RuleOf, count: Any, rate: Any) -> Coefficients:
    """Return the numbers of a step: plain ones, and float64 scalars."""
    with jax.enable_x64(True):
        return rule_of(_wide).at(_wide(count), _wide(rate), XP)


def rounded(c: Coefficients, dtype: Any) -> Coefficients:
    """Return numbers rounded, once, to the dtype of an array; plain ones stay plain."""
    places = [i for i, number in enumerate(c) if isinstance(number, jax.Array)]
    with jax.enable_x64(True):
        arrays = tuple(lax.convert_element_type(c[i], dtype) for i in places)
    # Without the barrier each array's loop would round them for each element.
    arrays = lax.optimization_barrier(arrays)  # type: ignore[no-untyped-call]
    own = dict(zip(places, arrays, strict=True))
    return Coefficients(*(own.get(i, number) for i, number in enumerate(c)))


def cast_average(average: Any, cast: Cast) -> Any:
    """Return an average whose numbers are cast; a user's own may be of any class."""
    if not is_dataclass(average) or isinstance(average, type):
        return average
    numbers = {each.name: cast(getattr(average, each.name)) for each in fields(average)}
    return replace(average, **numbers)


def plain(name: str, number: Any) -> Any:
    """Return a hyperparameter as a number of Python's or an array of JAX's.

    Errors: `TypeError` for anything else, and for more numbers than one.
    """
    if isinstance(number, np.generic | np.ndarray) and number.shape == ():
        number = number.item()
    scalar = isinstance(number, jax.Array) and number.shape == ()
    if scalar or isinstance(number, float | int):
        return number
    raise TypeError(f"{name} is {number!r}; it wants a number, or a scalar array.")


def _wide(number: Any) -> Any:
    if isinstance(number, jax.Array):
        return lax.convert_element_type(number, np.float64)
    return number
