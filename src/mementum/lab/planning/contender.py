"""A contender is an optimizer at its published defaults, learning rate aside.

A growing memory is published for runs of some 70,000 steps, and hardly grows in short
ones. AdaXW and AdamNX therefore compete twice: as published, and matched, with the
memory that has the published shape over the steps of the task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch.optim import Optimizer

from mementum import (
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
from mementum.lab.errors import LabError
from mementum.lab.planning import search_spaces
from mementum.lab.planning.search_spaces import KAPPA, SHORTEST, Choice, Dimension
from mementum.lab.records.run import Option
from mementum.lab.tasks.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Contender:
    """An optimizer in the comparison.

    The options are written out, so that a run stays what it was when a default changes.
    """

    optimizer_name: str
    lr: float
    """The authors' default, and the centre of the grid of learning rates."""
    options: Mapping[str, Option]
    """Every hyperparameter but the learning rate, as published."""
    factory: Callable[..., Optimizer]
    decoupling: Mapping[str, Option] = field(default_factory=dict)
    """What decouples weight decay from the gradient; empty where it is so as published,
    and where the optimizer cannot do it."""
    space: tuple[Dimension | Choice, ...] = ()
    """What full tuning varies besides the learning rate."""
    matched: Callable[[float], float] | None = None
    """The second beta whose memory has this log ratio, if the run's length sets it."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """What an optimizer of the user's own adds to the versions of its runs."""
    home: Callable[[], AbstractContextManager[None]] = nullcontext
    """What its code runs in, where it has a file of its own."""
    renewed: Callable[[], Contender | None] = lambda: None
    """Return it as it is before any run, if a run has left anything in its file."""
    takes_model: bool = False
    """Whether the factory takes the model, for names and shapes."""
    decays: bool = True
    """Whether it has a weight decay."""

    @property
    def name(self) -> str:
        """The name it has in a comparison: "AdaXW-matched" if its memory is matched."""
        if self.matched is None:
            return self.optimizer_name
        return f"{self.optimizer_name}-matched"

    def decaying(self, weight_decay: float) -> Contender:
        """Return the contender with this weight decay, which full tuning leaves alone.

        It is decoupled from the gradient in all but torch's SGD, which adds it to the
        gradient. Without decay, nothing is decoupled: the run is the published one's.
        """
        if not self.decays:
            if weight_decay:
                raise LabError(
                    f"the weight decay is {weight_decay:g} for everyone, and "
                    f"{self.name} takes none; let its optimizer() take weight_decay, "
                    "or leave each decay as published."
                )
            return self
        options = {**self.options, "weight_decay": weight_decay}
        if weight_decay:
            options.update(self.decoupling)
        fixed = search_spaces.DECAY.name, "weight_decay"
        space = tuple(each for each in self.space if each.name not in fixed)
        return replace(self, options=options, space=space)

    def options_over(self, steps: int) -> dict[str, Option]:
        """Return the hyperparameters of a run of so many steps.

        In fewer than ``SHORTEST`` steps a memory is matched to so many.
        """
        options = dict(self.options)
        if self.matched is not None:
            betas = options["betas"]
            assert isinstance(betas, list)
            options["betas"] = [betas[0], self.matched(KAPPA / max(steps, SHORTEST))]
        return options

    def optimizer(
        self,
        parameters: list[torch.nn.Parameter],
        lr: float,
        options: Mapping[str, Option],
        model: object = None,
    ) -> Optimizer:
        """Return the optimizer of these parameters with these options.

        One that takes the model has it, or, where there is none, a list of them.
        """
        given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in options.items()
        }
        if not self.takes_model:
            return self.factory(parameters, lr=lr, **given)
        if not isinstance(model, torch.nn.Module):
            model = torch.nn.ParameterList(parameters)
        return self.factory(model, lr=lr, **given)

    def builder(
        self, lr: float, options: Mapping[str, Option]
    ) -> Callable[[Problem], Optimizer]:
        """Return what makes the optimizer of a problem, and of its model if it can."""
        return lambda problem: self.optimizer(
            problem.parameters(),
            lr,
            options,
            getattr(problem, "model", getattr(problem, "net", None)),
        )


_DECOUPLED: Mapping[str, Option] = {"decoupled_weight_decay": True}
CONTENDERS: tuple[Contender, ...] = (
    Contender(
        optimizer_name="SGD",
        lr=0.1,
        options={"momentum": 0.9, "weight_decay": 0.0},
        factory=torch.optim.SGD,
        space=search_spaces.MOMENTUM,
    ),
    Contender(
        optimizer_name="Adam",
        lr=1e-3,
        options={"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
        factory=Adam,
        decoupling=_DECOUPLED,
        space=search_spaces.DECAYING,
    ),
    Contender(
        optimizer_name="AdamW",
        lr=1e-3,
        options={"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 1e-2},
        factory=AdamW,
        space=search_spaces.DECAYING,
    ),
    Contender(
        optimizer_name="AMSGrad",
        lr=1e-3,
        options={
            "betas": [0.9, 0.999],
            "eps": 1e-8,
            "weight_decay": 0.0,
            "variant": "paper",
        },
        factory=AMSGrad,
        decoupling=_DECOUPLED,
        space=search_spaces.DECAYING,
    ),
    Contender(
        optimizer_name="AdamNC",
        lr=1e-3,
        options={"momentum": 0.9, "eps": 1e-8, "weight_decay": 0.0},
        factory=AdamNC,
        decoupling=_DECOUPLED,
        space=search_spaces.MOMENTUM_EPS,
    ),
    Contender(
        optimizer_name="AdaMomentum",
        lr=1e-3,
        options={"betas": [0.9, 0.999], "eps": 1e-16, "weight_decay": 0.0},
        factory=AdaMomentum,
        space=search_spaces.DECAYING,
    ),
    Contender(
        optimizer_name="AdaXW",
        lr=5e-3,
        options={"betas": [0.9, 1e-4], "eps": 1e-12, "weight_decay": 5e-2},
        factory=AdaXW,
        space=search_spaces.ADAX,
    ),
    Contender(
        optimizer_name="AdaXW",
        lr=5e-3,
        options={"betas": [0.9, 1e-4], "eps": 1e-12, "weight_decay": 5e-2},
        factory=AdaXW,
        space=search_spaces.ADAX,
        matched=search_spaces.adax_beta,
    ),
    Contender(
        optimizer_name="AdamNX",
        lr=1e-3,
        options={"betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 1e-2},
        factory=AdamNX,
        space=search_spaces.ADAMNX,
    ),
    Contender(
        optimizer_name="AdamNX",
        lr=1e-3,
        options={"betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 1e-2},
        factory=AdamNX,
        space=search_spaces.ADAMNX,
        matched=search_spaces.adamnx_beta,
    ),
)

OTHERS: tuple[Contender, ...] = (
    Contender(
        optimizer_name="AdaX",
        lr=1.5e-3,
        options={"betas": [0.9, 1e-4], "eps": 1e-12, "weight_decay": 5e-4},
        factory=AdaX,
        decoupling=_DECOUPLED,
    ),
    Contender(
        optimizer_name="Mementum",
        lr=1e-3,
        options={"momentum": 0.9, "memory": 1.0001, "eps": 1e-8, "weight_decay": 0.0},
        factory=Mementum,
    ),
)
"""Optimizers that claims are about, and that no comparison runs unless asked."""


def find(name: str) -> Contender:
    """Return the contender of this name; an unknown name is a LookupError."""
    for contender in (*CONTENDERS, *OTHERS):
        if contender.name == name:
            return contender
    raise LookupError(f"the lab knows no contender named {name!r}")
