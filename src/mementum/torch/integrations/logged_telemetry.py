"""Telemetry of optimizers that a trainer has wrapped, by names for its logger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mementum.torch.family_optimizer import FamilyOptimizer

_PREFIX = "telemetry"


def interval(every: Any) -> int:
    """Return how many steps lie between two readings, a whole number of at least 1."""
    wants = "it is the number of steps between two readings: 1 or more, as 100."
    if isinstance(every, bool) or not isinstance(every, int):
        raise TypeError(f"telemetry_callback: every is {every!r}; {wants}")
    if every < 1:
        raise ValueError(f"telemetry_callback: every is {every}; {wants}")
    return every


def members(optimizers: Sequence[object]) -> dict[str, FamilyOptimizer]:
    """Return the optimizers of the family, each by what its numbers' names begin with.

    Beside one of the family, those of others are passed over. Errors: `TypeError` if
    none is of the family.
    """
    found = {}
    for index, optimizer in enumerate(optimizers):
        prefix = _PREFIX if len(optimizers) == 1 else f"{_PREFIX}/optimizer{index}"
        inner = _unwrapped(optimizer)
        if isinstance(inner, FamilyOptimizer):
            found[prefix] = inner
    if not found:
        kinds = ", ".join(type(_unwrapped(each)).__name__ for each in optimizers)
        raise TypeError(
            f"telemetry_callback: the optimizer is {kinds or 'not there'}, and only "
            "those of mementum have telemetry; train with one, such as "
            "mementum.AdaXW, or leave the callback out."
        )
    return found


def entries(optimizers: Sequence[object]) -> dict[str, float]:
    """Return all numbers by names such as ``telemetry/group0/rms_update``."""
    return {
        f"{prefix}/{name}": value
        for prefix, optimizer in members(optimizers).items()
        for name, value in optimizer.telemetry().flat().items()
    }


def _unwrapped(optimizer: object) -> object:
    """Return what wrappers hold, as Accelerate's, Lightning's and torch's do."""
    seen = set()
    while not isinstance(optimizer, FamilyOptimizer) and id(optimizer) not in seen:
        seen.add(id(optimizer))
        for name in ("optimizer", "optim"):
            optimizer = getattr(optimizer, name, optimizer)
    return optimizer
