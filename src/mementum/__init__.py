"""Adam-family optimizers that choose how long they remember."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mementum import install
from mementum.family.listing import list_optimizers
from mementum.family.memory import Fixed, Memory, ratio_for_horizon
from mementum.family.rule import Coefficients, Rule, SquareOf

if TYPE_CHECKING:
    from mementum import convert
    from mementum.torch import (
        Adam,
        AdamNC,
        AdamNX,
        AdaMomentum,
        AdamW,
        AdaX,
        AdaXW,
        AMSGrad,
        Mementum,
        create,
        param_groups,
        step_in_backward,
    )

__version__ = "0.1.0"

__all__ = [
    "AMSGrad",
    "AdaMomentum",
    "AdaX",
    "AdaXW",
    "Adam",
    "AdamNC",
    "AdamNX",
    "AdamW",
    "Coefficients",
    "Fixed",
    "Mementum",
    "Memory",
    "Rule",
    "SquareOf",
    "convert",
    "create",
    "list_optimizers",
    "param_groups",
    "ratio_for_horizon",
    "step_in_backward",
]


def __getattr__(name: str) -> Any:
    """Import torch only when an optimizer is asked for; the theory needs none."""
    if name == "convert":
        return import_module("mementum.convert")
    if name in __all__:
        with install.needing(f"mementum.{name}", "torch"):
            return getattr(import_module("mementum.torch"), name)
    raise AttributeError(f"module 'mementum' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
