"""The family as `torch.optim` optimizers."""

from importlib import import_module

from mementum import install

with install.needing("mementum.torch", "torch"):
    import_module("torch")

from mementum.torch import convert
from mementum.torch.creation import create
from mementum.torch.family_optimizer import FamilyOptimizer
from mementum.torch.groups.options import Execution
from mementum.torch.groups.weight_decay import param_groups
from mementum.torch.inspect.telemetry import Reading, Telemetry
from mementum.torch.integrations.step_in_backward import (
    StepInBackward,
    step_in_backward,
)
from mementum.torch.optimizers import (
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
from mementum.torch.state.formats import FORMATS

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
    "create",
    "param_groups",
    "step_in_backward",
]
