"""Who is timed: our optimizers, torch's, and the floor under both."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from mementum.bench.case import Case, Layout
from mementum.bench.clock import Iteration
from mementum.bench.training import Training
from mementum.torch import MEMBERS
from mementum.torch.backends import native
from mementum.torch.state import formats

# How moments can be kept; the first is the default.
FORMATS = tuple(formats.FORMATS)
CLASSES = {member.recipe.name: member for member in MEMBERS}
FLOOR = "floor"
FUSED = "torch fused"
AMSGRAD = "torch amsgrad"
TORCH: dict[str, dict[str, bool]] = {
    FUSED: {"fused": True},
    AMSGRAD: {"fused": True, "amsgrad": True},
    "torch foreach": {"foreach": True},
    "torch single": {"foreach": False},
}
CLIPPING = "torch clipping"
# The learning rate and the norm that gradients are clipped to in a training loop.
_LR, _NORM = 1e-4, 1.0
# What else may be asked of a step in a training loop, and which of torch's judges it.
VARIANTS: dict[str, tuple[dict[str, float | str], str]] = {
    "clipping": ({"clip_norm": _NORM}, CLIPPING),
    "skipping": ({"nonfinite": "skip"}, FUSED),
}


@dataclass(frozen=True, slots=True)
class Entrant:
    """Something that takes steps: its name, how it keeps its moments, what it moves.

    `bytes` is what one step must read and write at least. In a training loop the step
    is part of an iteration.
    """

    name: str
    form: str
    step: Callable[[], object]
    bytes: int
    iteration: Iteration | None = None


def built(
    name: str,
    params: list[Parameter],
    form: str = FORMATS[0],
    flags: Mapping[str, bool | float | str] | None = None,
) -> torch.optim.Optimizer:
    """Return one of our optimizers at its defaults, its moments kept in a form."""
    options = {} if form == FORMATS[0] else {"state_dtype": form}
    build: Any = CLASSES[name]
    optimizer: torch.optim.Optimizer = build(params, **options, **(flags or {}))
    return optimizer


def of_class(
    case: Case, gradients: list[Tensor], name: str, form: str, *, dense: bool = False
) -> tuple[Entrant, Entrant | None]:
    """Return one of our optimizers on a case, and the floor under its arrays.

    `dense` lays the parameters row by row, whatever the case says.
    """
    params = case.parameters(gradients, Layout.DENSE if dense else None)
    return _entrant(name, form, built(name, params, form), params)


def of_torch(
    case: Case, gradients: list[Tensor], name: str
) -> tuple[Entrant, Entrant | None]:
    """Return torch's AdamW, run in one of its ways, and the floor under its arrays."""
    params = case.parameters(gradients)
    build: Any = torch.optim.AdamW
    optimizer = build(params, **TORCH[name])
    return _entrant(name, FORMATS[0], optimizer, params)


def of_class_in_loop(
    training: Training, name: str, form: str = FORMATS[0], variant: str | None = None
) -> Entrant:
    """Return one of our optimizers at work on a new model, plain or as a variant."""
    params, loss = training.begin()
    flags = VARIANTS[variant][0] if variant else {}
    optimizer = built(name, params, form, {"lr": _LR, **flags})
    title = f"{name} {variant}" if variant else name
    return _in_loop(title, form, optimizer, optimizer.step, params, loss)


def of_torch_in_loop(training: Training, name: str) -> Entrant:
    """Return torch's AdamW at work on a new model, run in one of its ways.

    Its step clips before if it is `CLIPPING`.
    """
    params, loss = training.begin()
    build: Any = torch.optim.AdamW
    optimizer = build(params, lr=_LR, **TORCH[FUSED if name == CLIPPING else name])

    def clip_and_step() -> None:
        torch.nn.utils.clip_grad_norm_(params, _NORM)
        optimizer.step()

    step = clip_and_step if name == CLIPPING else optimizer.step
    return _in_loop(name, FORMATS[0], optimizer, step, params, loss)


def peer(name: str) -> str:
    """Return which of torch's steps keeps as many moments as one of our optimizers."""
    return AMSGRAD if CLASSES[name].recipe.function().peak else FUSED


def reference(case: Case, name: str) -> str | None:
    """Return which of torch's steps one of our optimizers is measured by, if any.

    On memory that is not dense, or not like its gradient's, its peer is wrong.
    """
    return peer(name) if case.layout is Layout.DENSE else None


def _entrant(
    name: str, form: str, optimizer: torch.optim.Optimizer, params: list[Parameter]
) -> tuple[Entrant, Entrant | None]:
    """Return an optimizer that has taken a step, and its floor."""
    optimizer.step()
    rows = [_row(param, optimizer.state[param]) for param in params]
    needed = _moved(rows)
    entrant = Entrant(name, form, optimizer.step, needed)
    return entrant, _floor(form, rows, needed)


def _in_loop(
    name: str,
    form: str,
    optimizer: torch.optim.Optimizer,
    step: Callable[[], object],
    params: list[Parameter],
    loss: Callable[[], Tensor],
) -> Entrant:
    """Return an optimizer that has trained for an iteration."""
    iteration = Iteration(
        lambda: torch.autograd.backward(loss()), step, optimizer.zero_grad
    )
    iteration.before()
    iteration.step()
    needed = moved(optimizer, params)
    iteration.after()
    return Entrant(name, form, step, needed, iteration)


_Row = list[tuple[Tensor, bool]]


def moved(optimizer: torch.optim.Optimizer, params: list[Parameter]) -> int:
    """Return the bytes that a step of these parameters must read and write."""
    return _moved([_row(param, optimizer.state[param]) for param in params])


def _moved(rows: list[_Row]) -> int:
    return sum(x.nbytes * (1 + written) for row in rows for x, written in row)


def _row(param: Parameter, moments: dict[str, Any]) -> _Row:
    """Return the tensors that a parameter's step reads, and which it writes."""
    assert param.grad is not None
    kept = [
        (tensor, True)
        for key, tensor in moments.items()
        if key != "step" and isinstance(tensor, Tensor)
    ]
    return [(param.detach(), True), (param.grad, False), *kept]


def _floor(form: str, rows: list[_Row], needed: int) -> Entrant | None:
    """Return a pass over dense arrays which computes nothing, if the kernel is here."""
    kernel = native.library()
    dense = all(tensor.is_contiguous() for row in rows for tensor, _ in row)
    if kernel is None or not dense:
        return None
    width = max(map(len, rows))
    streams = array("q")
    for row in rows:
        for tensor, written in row:
            streams.extend((tensor.data_ptr(), tensor.nbytes, written))
        # A small tensor's moments have no scales: nothing is read in their place.
        streams.extend([0] * 3 * (width - len(row)))
    return Entrant(FLOOR, form, _Pass(kernel, rows, streams, width), needed)


@dataclass(frozen=True, slots=True)
class _Pass:
    """A call of the floor, and the tensors whose addresses it gives."""

    kernel: ctypes.CDLL
    rows: list[_Row]
    streams: array[int]
    width: int

    def __call__(self) -> None:
        self.kernel.mementum_floor(
            ctypes.c_void_p(self.streams.buffer_info()[0]),
            ctypes.c_int64(len(self.rows)),
            ctypes.c_int64(self.width),
            ctypes.c_int32(torch.get_num_threads()),
            ctypes.c_int32(native.asks_for_own_threads()),
        )
