"""The step as one operation of a compiled graph.

`torch.compile` sees what the operation reads and changes: gradients and parameters.
It sees no learning rate and no step, so that none of them is compiled in, and
schedulers recompile nothing. The operation runs the eager step.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from weakref import WeakMethod

import torch
from torch import Tensor

from mementum.torch.groups.options import Group

_SCHEMA = (
    "(int number, int[] places, Tensor(a!)[] params, Tensor[] grads, "
    "Tensor? grad_scale, Tensor? found_inf) -> ()"
)

# With the places, values and gradients of parameters that a graph has, and what a
# GradScaler says.
_Step = Callable[
    [Sequence[int], Sequence[Tensor], Sequence[Tensor], Tensor | None, Tensor | None],
    None,
]

_numbers = itertools.count()
_steps: dict[int, WeakMethod[_Step]] = {}


def register(step: _Step) -> int:
    """Return the number by which a graph calls a method, while its object lives."""
    number = next(_numbers)
    _steps[number] = WeakMethod(step, lambda _: _steps.pop(number, None))
    return number


def params_of(groups: Sequence[Group]) -> list[Tensor]:
    """Return all parameters in a row, whose places in it a graph knows them by."""
    return [param for group in groups for param in group["params"]]


def call(
    number: int,
    params: list[Tensor],
    grad_scale: Tensor | None,
    found_inf: Tensor | None,
) -> None:
    """Take the registered step with these parameters inside a graph.

    Whatever is read here is compiled in, so the groups, with their rates, are not.
    """
    places = [i for i, param in enumerate(params) if param.grad is not None]
    # Without a mode to switch off and on: what a graph raises would leave it off.
    owners = [params[i].detach() for i in places]
    grads = [params[i].grad for i in places]
    torch.ops.mementum.step(number, places, owners, grads, grad_scale, found_inf)


# A graph of CUDA's that "reduce-overhead" captures would replay the numbers of a step
# for ever, so it is to end before one and to begin again after. torch before 2.9 has no
# word for that.
_UNSAFE = getattr(torch.Tag, "cudagraph_unsafe", None)


@torch.library.custom_op(
    "mementum::step",
    mutates_args=("params",),
    schema=_SCHEMA,
    **({"tags": [_UNSAFE]} if _UNSAFE is not None else {}),
)
def _step(
    number: int,
    places: Sequence[int],
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    grad_scale: Tensor | None,
    found_inf: Tensor | None,
) -> None:
    """Take the step with the tensors that the graph has."""
    step = _steps[number]()
    assert step is not None
    step(places, params, grads, grad_scale, found_inf)


@contextlib.contextmanager
def tensors_of_a_graph(
    own: Sequence[Tensor],
    places: Sequence[int],
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
) -> Iterator[None]:
    """Lend an optimizer's own parameters the values and gradients that a graph has.

    The graph's tensors may be copies: the parameters at `places` of all the `own` take
    their values first, and they take the parameters' values last.
    """
    kept = [(param, param.grad) for param in own]
    try:
        for param in own:
            param.grad = None
        for i, param, grad in zip(places, params, grads, strict=True):
            _copy(param, own[i])
            own[i].grad = grad.detach()
        yield
        for i, param in zip(places, params, strict=True):
            _copy(own[i], param)
    finally:
        for param, before in kept:
            param.grad = before


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
