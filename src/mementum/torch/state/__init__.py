"""What is kept for each parameter between steps, and how it is stored."""

from collections.abc import MutableMapping
from typing import Any, TypeAlias

from torch import Tensor

# A parameter's step, its moments and their scales, and what a program adds to them.
ParamState: TypeAlias = dict[str, Any]
State: TypeAlias = MutableMapping[Tensor, ParamState]

__all__ = ["ParamState", "State"]
