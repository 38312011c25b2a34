"""The step as one operation of a compiled graph.

`torch.compile` sees what the operation reads and changes: gradients and parameters.
It sees no learning rate and no step, so that none of them is compiled in, and
schedulers recompile nothing. The operation runs the eager step.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from operator import is_
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import torch
from torch import Tensor

if TYPE_CHECKING:
    from mementum.torch.family_optimizer import FamilyOptimizer

SCHEMA = (
    "(int number, int[] places, Tensor(a!)[] params, Tensor[] grads, "
    "Tensor? grad_scale, Tensor? found_inf) -> ()"
)

_numbers = itertools.count()
_optimizers: WeakValueDictionary[int, FamilyOptimizer] = WeakValueDictionary()


def enrol(optimizer: FamilyOptimizer) -> int:
    """Return the number by which a graph calls an optimizer."""
    number = next(_numbers)
    _optimizers[number] = optimizer
    return number


def call(optimizer: FamilyOptimizer, number: int, params: list[Tensor]) -> None:
    """Take the step of an optimizer with these parameters inside a graph.

    Whatever is read here is compiled in, so the groups, with their rates, are not.
    """
    places = [i for i, param in enumerate(params) if param.grad is not None]
    # Without a mode to switch off and on: what a graph raises would leave it off.
    owners = [params[i].detach() for i in places]
    grads = [params[i].grad for i in places]
    scale = getattr(optimizer, "grad_scale", None)
    found_inf = getattr(optimizer, "found_inf", None)
    torch.ops.mementum.step(number, places, owners, grads, scale, found_inf)


@torch.library.custom_op("mementum::step", mutates_args=("params",), schema=SCHEMA)
def _step(
    number: int,
    places: Sequence[int],
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    grad_scale: Tensor | None,
    found_inf: Tensor | None,
) -> None:
    """Take the step with the tensors that the graph has.

    They may be copies of the optimizer's own: what it owns takes their values first,
    and they take its values last.
    """
    optimizer = _optimizers[number]
    # What schedulers look at; an attribute set inside a graph may not outlive it.
    optimizer._opt_called = True
    every = [param for group in optimizer.param_groups for param in group["params"]]
    if len(every) != len(optimizer._every) or not all(
        map(is_, every, optimizer._every)
    ):
        raise RuntimeError(
            f"{optimizer.recipe.name}: param_groups hold other parameters than when "
            "the step was compiled; begin a new optimizer with them."
        )
    kept = [(param, param.grad) for param in every]
    try:
        for param in every:
            param.grad = None
        for i, param, grad in zip(places, params, grads, strict=True):
            _copy(param, every[i])
            every[i].grad = grad.detach()
        with torch.no_grad():
            optimizer._step(grad_scale, found_inf)
        for i, param in zip(places, params, strict=True):
            _copy(every[i], param)
    finally:
        for param, grad in kept:
            param.grad = grad


def _copy(source: Tensor, target: Tensor) -> None:
    """Copy where two tensors are not the same memory."""
    if source.data_ptr() != target.data_ptr():
        target.detach().copy_(source)


@_step.register_fake
def _(
    number: int,
    places: Sequence[int],
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    grad_scale: Tensor | None,
    found_inf: Tensor | None,
) -> None:
    """Return nothing; what changes is named above."""
