"""The lab trains optimizers on real tasks, fairly tuned, and says which is better.

`plan` says what to run, `compare` carries it out and `read` finds it again;
`mementum.lab.experiment` shows them at work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mementum.lab.errors import LabError

if TYPE_CHECKING:
    from mementum.lab.experiment import Comparison, compare, plan, read

__all__ = ["Comparison", "LabError", "compare", "plan", "read"]


def __getattr__(name: str) -> Any:
    """Import what takes long only when it is asked for."""
    if name in __all__:
        return getattr(import_module("mementum.lab.experiment"), name)
    raise AttributeError(f"module 'mementum.lab' has no attribute {name!r}")
