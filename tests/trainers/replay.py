"""What a trainer gave an optimizer, and the same steps without the trainer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mementum.torch import FamilyOptimizer

Groups = list[dict[str, Any]]


@dataclass
class Recording:
    """An optimizer's parameters at the start, and each step's gradients and rates."""

    optimizer: FamilyOptimizer
    start: list[list[Tensor]] = field(default_factory=list)
    grads: list[list[list[Tensor | None]]] = field(default_factory=list)
    rates: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = [
            [param.detach().clone() for param in group["params"]]
            for group in self.optimizer.param_groups
        ]
        # After the step: a closure's gradients are there only then, and a step
        # changes neither gradients nor rates.
        self.optimizer.register_step_post_hook(self._record)

    def _record(self, *_: Any) -> None:
        groups = self.optimizer.param_groups
        self.grads.append(
            [
                [None if p.grad is None else p.grad.clone() for p in group["params"]]
                for group in groups
            ]
        )
        self.rates.append([float(group["lr"]) for group in groups])

    def norms(self) -> list[float]:
        """Return the norm of all gradients together, for each step."""
        return [
            torch.stack(
                [g.double().norm() for group in step for g in group if g is not None]
            )
            .norm()
            .item()
            for step in self.grads
        ]

    def replayed(self) -> list[Tensor]:
        """Return where a new optimizer of the same kind comes to by the same steps."""
        groups: Groups = [
            {
                **{k: v for k, v in group.items() if k in self.optimizer.defaults},
                "params": [p.clone().requires_grad_() for p in start],
            }
            for group, start in zip(
                self.optimizer.param_groups, self.start, strict=True
            )
        ]
        # Rates were checked when they were set; the first is any.
        fresh = type(self.optimizer)(groups)
        for grads, rates in zip(self.grads, self.rates, strict=True):
            for group, own, rate in zip(fresh.param_groups, grads, rates, strict=True):
                group["lr"] = rate
                for param, grad in zip(group["params"], own, strict=True):
                    param.grad = grad
            fresh.step()
        return [p.detach() for group in fresh.param_groups for p in group["params"]]


def recorded(optimizer: FamilyOptimizer) -> Recording:
    """Record an optimizer from here on."""
    return Recording(optimizer)


def ends(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return an optimizer's parameters as they are."""
    return [p.detach() for group in optimizer.param_groups for p in group["params"]]
