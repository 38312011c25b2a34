"""Optimizers of which each process makes its own, for a part of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from mementum.torch.family_optimizer import FamilyOptimizer


def named(
    member: Callable[..., FamilyOptimizer], model: torch.nn.Module
) -> Callable[..., FamilyOptimizer]:
    """Return a constructor of optimizers that know the names of a model's parameters.

    For what divides the parameters among processes before it makes an optimizer, as
    ``ZeroRedundancyOptimizer(..., optimizer_class=named(AdaXW, model))`` does: rounding
    noise is then keyed on the names, and the same in whichever process a parameter is.
    """

    def construct(params: Any, **options: Any) -> FamilyOptimizer:
        optimizer = member(params, **options)
        optimizer.names.update(
            (param, name) for name, param in model.named_parameters()
        )
        return optimizer

    return construct
