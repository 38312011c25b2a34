"""What functions of the user's own return: a model, a loss, a metric."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn.parameter import is_lazy

from mementum.lab.arguments import shown
from mementum.lab.errors import UserCodeError


def initialise(model: torch.nn.Module, forward: Callable[[], object]) -> None:
    """Let lazy layers take their shapes from a batch that goes through the model."""
    if any(map(is_lazy, [*model.parameters(), *model.buffers()])):
        model.eval()
        with torch.no_grad():
            forward()


def made(found: object, place: str) -> torch.nn.Module:
    """Return what a user's function made, if it is a module that can be trained.

    Errors: `UserCodeError`, which begins with the place.
    """
    if not isinstance(found, torch.nn.Module):
        raise UserCodeError(
            f"{place} returned {shown(found)}, no module; return a torch.nn.Module."
        )
    if any(each.is_meta and not is_lazy(each) for each in found.parameters()):
        raise UserCodeError(
            f"{place} returned a module on the meta device, which has no values; "
            "return one with values."
        )
    return found


def number(value: object, place: str, kind: str) -> float:
    """Return the number that a loss or a metric is.

    Errors: `UserCodeError`, which begins with the place.
    """
    shape = getattr(value, "shape", ())
    if hasattr(value, "__float__") and math.prod(shape) == 1:
        return float(value)
    raise no_number(value, place, kind)


def no_number(value: object, place: str, kind: str) -> UserCodeError:
    """Return the error for a value in the place of a number of some kind."""
    shape = tuple(getattr(value, "shape", ()))
    words = f" of shape {shape}" if shape else ""
    return UserCodeError(
        f"{place} returned a {type(value).__name__}{words}; return {kind}."
    )
