"""Take over the state of a running optax optimizer, and give it back.

optax keeps the mean of squares times its mass, and corrects it in each step; a `square`
here is the mean itself. What is kept in a conversion is the mean.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
import optax

from mementum.family import limits
from mementum.family.memory import Fixed
from mementum.optax import formats
from mementum.optax.state import MEMBER_STATES, PeakRuleState, counted, only

__all__ = ["adopt"]

_OURS = MEMBER_STATES
_THEIRS = (optax.ScaleByAdamState, optax.ScaleByAmsgradState)
# The smallest number of bfloat16 above zero.
_LEAST = 2.0**-133


def adopt(target: Any, source: Any, *, b2: float = 0.999) -> Any:
    """Return a state with the moments and the steps of another, so that a run goes on.

    `target` is what the new transformation's `init` returned, `source` the state of the
    running one: one of them of `optax.adam`, `adamw` or `amsgrad`, the other of a
    member whose square is corrected, which are all but `amsgrad` in the variants
    "paper" and "torch". Both may lie in any wrapper. `b2` is optax's. Momenta are the
    same numbers on both sides: keep `b1`. Schedules of optax's that count by themselves
    are set to the same step.

    Errors: `ValueError` if there is not one such state on each side, or if their
    parameters differ.
    """
    mine = only(target, (*_OURS, *_THEIRS), "adopt: target")
    theirs = only(source, (*_OURS, *_THEIRS), "adopt: source")
    if isinstance(mine, _OURS) == isinstance(theirs, _OURS):
        raise ValueError(
            f"adopt: target holds a {type(mine).__name__} and source a "
            f"{type(theirs).__name__}; one of them is to be optax's and one mementum's."
        )
    count = int(theirs.count)
    mass = Fixed(limits.fraction("adopt: b2", b2)).mass(count)
    convert = _from_optax if isinstance(mine, _OURS) else _to_optax
    moments = convert(mine, theirs, mass)
    return counted(target, mine, mine._replace(**moments), count)


def _from_optax(mine: Any, theirs: Any, mass: float) -> dict[str, Any]:
    # Before the first step there is nothing to correct.
    factor = 1 / (mass or math.inf)
    moments = {
        "momentum": _tree(mine.momentum, theirs.mu),
        "square": _tree(mine.square, theirs.nu, factor, least=_LEAST),
    }
    if not isinstance(mine, PeakRuleState):
        return moments
    if isinstance(theirs, optax.ScaleByAmsgradState):
        peak = _tree(mine.peak, theirs.nu_max, least=_LEAST)
    else:
        peak = _tree(mine.peak, theirs.nu, factor, least=_LEAST)
    return moments | {"peak": peak}


def _to_optax(mine: Any, theirs: Any, mass: float) -> dict[str, Any]:
    moments = {
        "mu": _tree(mine.mu, theirs.momentum),
        "nu": _tree(mine.nu, theirs.square, mass),
    }
    if not isinstance(mine, optax.ScaleByAmsgradState):
        return moments
    peak = theirs.peak if isinstance(theirs, PeakRuleState) else theirs.square
    return moments | {"nu_max": _tree(mine.nu_max, peak)}


def _tree(like: Any, source: Any, factor: float = 1.0, least: float = 0.0) -> Any:
    """Return a tree times a factor, its leaves in the dtypes and places of others."""
    mine, theirs = map(jax.tree.structure, (like, source))
    if str(mine) != str(theirs):
        raise ValueError(
            f"adopt: the states are those of other parameters: {mine} and {theirs}."
        )
    return jax.tree.map(lambda old, new: _like(old, new, factor, least), like, source)


def _like(old: Any, new: Any, factor: float = 1.0, least: float = 0.0) -> Any:
    """Return numbers in an array's dtype and place; what is not 0 is `least` at least.

    The product is computed in float64 and rounded once.
    """
    numbers = np.asarray(new)
    if numbers.shape != old.shape:
        raise ValueError(
            f"adopt: a moment has shape {numbers.shape}, where {old.shape} is wanted."
        )
    if factor != 1:
        numbers = np.multiply(numbers, factor, dtype=np.result_type(numbers, float))
    if not np.issubdtype(old.dtype, np.complexfloating):
        numbers = numbers.real
    fresh = numbers.astype(old.dtype)
    if old.dtype == formats.BFLOAT16 and least:
        fresh = np.where((fresh == 0) & (numbers != 0), least, fresh).astype(old.dtype)
    return jax.device_put(fresh, getattr(old, "sharding", None))
