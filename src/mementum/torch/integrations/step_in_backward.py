"""Steps taken while the backward pass runs, so that gradients need not be kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

from torch import Tensor
from torch.nn import Module, Parameter

from mementum.torch.family_optimizer import FamilyOptimizer
from mementum.torch.step.bucketing import BucketCache

# Those whose hooks have not been removed.
_acting: WeakSet[StepInBackward] = WeakSet()

MakeOptimizer = Callable[[list[tuple[str, Parameter]]], FamilyOptimizer]

# Wrappers that add gradients up only after their parameters' hooks have run.
_LATE = {"DistributedDataParallel", "FullyShardedDataParallel"}


def step_in_backward(model: Module, make_optimizer: MakeOptimizer) -> StepInBackward:
    """Step each parameter as soon as its gradient is there, and free the gradient.

    `make_optimizer` is given the model's named parameters that want gradients and
    returns their optimizer. `loss.backward()` then takes the whole step, and the
    gradients of one layer or so exist at a time.

    Errors: `ValueError` for what needs all gradients before the first parameter
    changes, and `TypeError` for an optimizer of another family.

    >>> import torch
    >>> from mementum import AdaXW, step_in_backward
    >>> model = torch.nn.Linear(3, 1)
    >>> steps = step_in_backward(model, lambda params: AdaXW(params, lr=1e-3))
    >>> model(torch.ones(2, 3)).sum().backward()
    >>> model.weight.grad is None
    True
    """
    if not isinstance(model, Module):
        raise TypeError(
            f"step_in_backward: model is {type(model).__name__}; it is a torch module."
        )
    if not callable(make_optimizer):
        raise TypeError(
            "step_in_backward: make_optimizer is "
            f"{type(make_optimizer).__name__}; it is a function that is given named "
            "parameters and returns their optimizer, as "
            "lambda params: AdaXW(params, lr=1e-3)."
        )
    if type(model).__name__ in _LATE:
        raise ValueError(
            f"step_in_backward: the model is a {type(model).__name__}, which adds up "
            "gradients of processes after each parameter would have been stepped; use "
            "fully_shard, or the ordinary loop."
        )
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    optimizer = make_optimizer(named)
    if not isinstance(optimizer, FamilyOptimizer):
        raise TypeError(
            f"step_in_backward: make_optimizer returned {type(optimizer).__name__}; it "
            "is to return an optimizer of mementum."
        )
    return StepInBackward(model, optimizer)


class StepInBackward:
    """The optimizer that steps in the backward pass, until removed.

    `optimizer` is an ordinary one, with one state dict, groups, and schedulers. Its own
    `step()` steps what still has a gradient, which after a backward pass is nothing, so
    a loop that calls it stays right.
    """

    def __init__(self, model: Module, optimizer: FamilyOptimizer) -> None:
        self.optimizer = optimizer
        self._accumulates = False
        for group in optimizer.param_groups:
            _refuse(optimizer, group)
        if strangers := _strangers(model, optimizer):
            raise ValueError(
                f"step_in_backward: {strangers[0]} is not the model's, so its "
                "backward pass would not step it; make the optimizer from the "
                "parameters that make_optimizer is given."
            )
        self._refuse_another()
        optimizer.in_backward = True
        _acting.add(self)
        self._hooks = [
            param.register_post_accumulate_grad_hook(self._hook(index, place))
            for index, group in enumerate(optimizer.param_groups)
            for place, param in enumerate(group["params"])
        ]

    def __enter__(self) -> StepInBackward:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Take the hooks away: gradients are kept again, and `step()` takes steps."""
        for hook in self._hooks:
            hook.remove()
        self.optimizer.in_backward = False
        _acting.discard(self)

    def _refuse_another(self) -> None:
        """Refuse parameters that another optimizer steps, and whose gradients it frees.

        What acts is alive as long as its parameters have its hooks.
        """
        taken = {
            id(param): other.optimizer
            for other in list(_acting)
            for group in other.optimizer.param_groups
            for param in group["params"]
        }
        for name, param in self.optimizer.named_params():
            if (other := taken.get(id(param))) is not None:
                raise ValueError(
                    f"step_in_backward: {name} is stepped in the backward pass "
                    f"already, by {other.recipe.name}, which frees its gradient; "
                    "call remove() on what step_in_backward returned for it first."
                )

    @contextlib.contextmanager
    def accumulate(self) -> Iterator[None]:
        """Let backward passes inside add up gradients, and step none.

        The first backward pass after it steps with the sum.
        """
        before, self._accumulates = self._accumulates, True
        try:
            yield
        finally:
            self._accumulates = before

    def _hook(self, index: int, place: int) -> Callable[[Tensor], None]:
        """Return what steps a parameter that stands at a place of a group.

        Groups may be edited: it is looked for when it is stepped. One that has left
        the optimizer keeps its gradient.
        """
        optimizer = self.optimizer
        seat = index, place
        buckets = BucketCache([optimizer.param_groups[index]["state_dtype"]])

        def step(param: Tensor) -> None:
            nonlocal seat
            if self._accumulates:
                return
            found = _seat(optimizer, param, seat)
            if found is None:
                return
            seat = found
            _refuse(optimizer, optimizer.param_groups[seat[0]])
            optimizer.step_parameter(*seat, buckets)
            param.grad = None

        return step


def _seat(
    optimizer: FamilyOptimizer, param: Tensor, last: tuple[int, int]
) -> tuple[int, int] | None:
    """Return the group and the place of a parameter, which may be where it was."""
    groups, (index, place) = optimizer.param_groups, last
    if index < len(groups):
        params = groups[index]["params"]
        if place < len(params) and params[place] is param:
            return last
    for index, group in enumerate(groups):
        for place, each in enumerate(group["params"]):
            if each is param:
                return index, place
    return None


def _strangers(model: Module, optimizer: FamilyOptimizer) -> list[str]:
    own = set(map(id, model.parameters()))
    return [name for name, param in optimizer.named_params() if id(param) not in own]


def _refuse(optimizer: FamilyOptimizer, group: dict[str, Any]) -> None:
    """Refuse what wants all gradients before the first parameter changes."""
    reasons = {
        "clip_norm": "the norm is over all gradients, and they never exist together",
        "differentiable": "the gradients of a step that is differentiated must be kept",
        "nonfinite": "a bad gradient is seen after other parameters have been stepped",
    }
    usual = {"clip_norm": None, "differentiable": False, "nonfinite": "propagate"}
    for name, reason in reasons.items():
        if group[name] != usual[name]:
            raise ValueError(
                f"{optimizer.recipe.name}: {name} is {group[name]!r} in "
                f"step_in_backward, but {reason}; leave it {usual[name]!r}, or use the "
                "ordinary loop."
            )
