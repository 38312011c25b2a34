"""The family as `torch.optim` optimizers."""

from mementum.torch import convert
from mementum.torch.members import (
    MEMBERS,
    Adam,
    AdamNC,
    AdamNX,
    AdaMomentum,
    AdamW,
    AdaX,
    AdaXW,
    AMSGrad,
    Mementum,
)
from mementum.torch.optimizer import Execution, FamilyOptimizer
from mementum.torch.state import FORMATS

__all__ = [
    "FORMATS",
    "MEMBERS",
    "AMSGrad",
    "AdaMomentum",
    "AdaX",
    "AdaXW",
    "Adam",
    "AdamNC",
    "AdamNX",
    "AdamW",
    "Execution",
    "FamilyOptimizer",
    "Mementum",
    "convert",
]
