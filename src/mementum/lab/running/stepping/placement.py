"""A problem goes to its device once, before anything is made of its parameters.

It is made on the CPU, from the streams of its seed, so that every device begins alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._pytree import tree_map

from mementum.lab.tasks.problem import Problem


def place(problem: Problem, kind: str) -> None:
    """Move all that a problem holds to a kind of device: parameters, data, batches.

    One with a parameter there already stays as it is: which of several devices it is
    on, and where its data are, is its maker's choice.
    """
    if all(each.device.type != kind for each in problem.parameters()):
        _Move(torch.device(kind), problem).inside(problem)


class _Move:
    """Moves tensors, each once: what several attributes share stays shared."""

    def __init__(self, device: torch.device, problem: Problem) -> None:
        self._device = device
        self._package = _package(problem)
        self._moved: dict[int, tuple[object, object]] = {}
        """What was moved and what it is now, by an identity that none else has yet."""

    def inside(self, holder: object) -> None:
        """Move what an object's attributes hold.

        Lists and tables are made anew, as they may be those that a task keeps for all
        of its problems.
        """
        self._moved[id(holder)] = holder, holder
        for name, value in vars(holder).items():
            vars(holder)[name] = tree_map(self._there, value)

    def _there(self, value: Any) -> Any:
        """Return what stands for a value on the device."""
        if id(value) not in self._moved:
            self._move(value)
        return self._moved.get(id(value), (value, value))[1]

    def _move(self, value: Any) -> None:
        """Move a value; what is neither a tensor nor the problem's own stays."""
        if isinstance(value, torch.nn.Module):
            # A copy of its parameters may stand beside it, as in a list.
            before = [*value.parameters()]
            after = [*value.to(self._device).parameters()]
            pairs = zip(before, after, strict=True)
            self._moved |= {id(old): (old, new) for old, new in pairs}
            self._moved[id(value)] = value, value
        elif isinstance(value, torch.Tensor):
            there = value.detach().to(self._device)
            if isinstance(value, torch.nn.Parameter):
                there = torch.nn.Parameter(there, value.requires_grad)
            self._moved[id(value)] = value, there
        elif _package(value) == self._package and not _shared(value):
            self.inside(value)


def _package(value: object) -> str:
    """Return the package whose class an object is of; a class itself is of none."""
    return "" if isinstance(value, type) else type(value).__module__.partition(".")[0]


def _shared(value: object) -> bool:
    """Return whether an object is no part of one problem alone: what is frozen."""
    frozen = getattr(type(value), "__dataclass_params__", None)
    return not hasattr(value, "__dict__") or getattr(frozen, "frozen", False)
