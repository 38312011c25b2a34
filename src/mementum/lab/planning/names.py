"""What tasks and contenders are called, known before torch is imported for them."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from mementum.lab.tasks.task import Tier

OF_CLAIMS = (Tier.SMOKE, Tier.QUICK, Tier.STANDARD)
"""The tiers that claims have."""
_USUAL = OF_CLAIMS
TASKS = {
    "reddi-periodic": _USUAL,
    "reddi-stochastic": _USUAL,
    "bistable": _USUAL,
    "quad": _USUAL,
    "quad-turned": _USUAL,
    "fashion-mlp": _USUAL,
    "fashion-conv": _USUAL,
    "text-kjv": _USUAL,
    "logreg-cancer": _USUAL,
    "mlp-digits": _USUAL,
    "cnn-mnist1d": _USUAL,
    "resnet-digits": _USUAL,
    "lm-bytes": _USUAL,
    "lm-lstm": _USUAL,
    "zipf-linear": _USUAL,
    "mf-dense": _USUAL,
    "linear-ae": _USUAL,
    "tabular": _USUAL,
    "tabular-diabetes": (Tier.STANDARD,),
    "pinn-poisson": (Tier.SMOKE, Tier.STANDARD),
    "gan-ring": (Tier.SMOKE, Tier.STANDARD),
    "mnist-mlp": (Tier.PAPER,),
    "mnist-cnn": (Tier.PAPER,),
    "cifar-resnet20": (Tier.PAPER,),
    "wikitext-lstm": (Tier.PAPER,),
}
"""The lab's tasks, in its order, and the tiers that they take part in."""
CONTENDERS = (
    "SGD",
    "Adam",
    "AdamW",
    "AMSGrad",
    "AdamNC",
    "AdaMomentum",
    "AdaXW",
    "AdaXW-matched",
    "AdamNX",
    "AdamNX-matched",
)
"""The lab's contenders, in its order."""
OF_CONTENDERS = "mementum.contenders"
"""The entry points by which packages bring contenders."""


def brought(group: str) -> bool:
    """Return whether a package brings any, whose names only its code knows."""
    return bool(entry_points(group=group))


def is_source(asked: object) -> bool:
    """Return whether an item of a list of contenders is a source, and no name."""
    if isinstance(asked, str):
        return any(mark in asked for mark in ":./")
    return isinstance(asked, type | Path)
