"""What a parameter group says: its flags, and the names of its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from mementum import limits
from mementum.memory import Memory

EXECUTION: dict[str, Any] = {
    "maximize": False,
    "foreach": None,
    "fused": None,
    "capturable": False,
    "differentiable": False,
    "nonfinite": "propagate",
}


def named(index: int, group: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield a group's parameters with their names, or their places without."""
    names = group.get("param_names")
    for i, param in enumerate(group["params"]):
        place = repr(names[i]) if names else f"{i} of group {index}"
        yield f"parameter {place}", param


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return group options as checkpoints can hold them: no classes of any library."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Memory):
        return {"log_ratio": value.log_ratio}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, np.generic):
        return value.item()
    return value


def check_flags(group: Mapping[str, Any]) -> None:
    """Refuse flags that are no flags, and those that no path can honour together."""
    for name in ("maximize", "capturable", "differentiable", "foreach", "fused"):
        if group[name] is not None or EXECUTION[name] is not None:
            limits.switch(name, group[name])
    limits.choice("nonfinite", group["nonfinite"], ("propagate", "skip", "raise"))
    if group["fused"] and group["foreach"]:
        raise ValueError(
            "fused and foreach are both True; each asks for another path. Set one."
        )
    if group["foreach"] and group["differentiable"]:
        raise ValueError(
            "foreach is True and differentiable too, but multi-tensor operations "
            "cannot be differentiated; leave foreach None."
        )
    if group["capturable"] and group["nonfinite"] != "propagate":
        raise ValueError(
            f"nonfinite is {group['nonfinite']!r} and capturable is True, but looking "
            "at gradients on the host breaks a capture; use nonfinite='propagate'."
        )
