"""The family as `torch.optim` optimizers."""

from mementum.torch import convert
from mementum.torch.backward import StepInBackward, step_in_backward
from mementum.torch.decay import param_groups
from mementum.torch.groups import Execution
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
from mementum.torch.optimizer import FamilyOptimizer
from mementum.torch.state import FORMATS
from mementum.torch.telemetry import Reading, Telemetry

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
    "Reading",
    "StepInBackward",
    "Telemetry",
    "convert",
    "param_groups",
    "step_in_backward",
]
