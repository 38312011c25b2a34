"""Parameters that one launch can update together."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any

import torch
from torch import Tensor

from mementum.torch.state import MOMENT_DTYPE, counter, start

State = MutableMapping[Tensor, dict[str, Any]]


@dataclass(slots=True)
class Bucket:
    """Parameters of a group that share their device, dtypes and step.

    `owners` are the parameters and `states` what is kept for each; the other lists
    hold their tensors as they are in this step, complex ones as views of their real
    and imaginary parts. `peak` is empty where the rule keeps none. `step` is the
    number of the step being taken: an int, or, where steps are captured, a float64
    tensor with one element a parameter. Parameters without elements have nothing to
    update: their states only count, in `empty`.
    """

    step: Any = None
    owners: list[Tensor] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    empty: list[dict[str, Any]] = field(default_factory=list)
    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor] = field(default_factory=list)
    momentum: list[Tensor] = field(default_factory=list)
    square: list[Tensor] = field(default_factory=list)
    peak: list[Tensor] = field(default_factory=list)

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype the step is computed in: that of the moments."""
        return self.momentum[0].dtype

    def rows(self, *, peak: bool | None = None) -> tuple[list[Tensor], ...]:
        """Return the lists that run in parallel, with the peak's where there is one."""
        rows = (self.params, self.grads, self.momentum, self.square)
        return (*rows, self.peak) if (self.peak if peak is None else peak) else rows

    def gather(self, *, peak: bool) -> None:
        """Fetch the tensors of this step: gradients, state and data may be new."""
        states = self.states
        self.params = self.owners
        self.grads = [_grad(owner) for owner in self.owners]
        if any(grad.is_neg() for grad in self.grads):
            self.grads = [grad.resolve_neg() for grad in self.grads]
        self.momentum = [state["momentum"] for state in states]
        self.square = [state["square"] for state in states]
        self.peak = [state["peak"] for state in states] if peak else []
        if self.owners and self.owners[0].is_complex():
            for row in ("params", "grads", "momentum", "square", "peak"):
                setattr(self, row, [_real(tensor) for tensor in getattr(self, row)])

    def release(self) -> None:
        """Let go of the gradients, whose memory their owner may want back."""
        self.grads = []

    def agrees(self, *, capturable: bool) -> bool:
        """Whether the tensors still belong together, and have taken as many steps."""
        rows = self.rows()
        if len({tensor.device for row in rows for tensor in row}) > 1:
            return False
        if any(len({tensor.dtype for tensor in row}) > 1 for row in rows):
            return False
        if len({row[0].dtype for row in rows[2:] if row}) > 1:
            return False
        shapes = [[tensor.shape for tensor in row] for row in rows]
        if shapes.count(shapes[0]) < len(shapes):
            return False
        if capturable:
            return True
        steps = [state["step"] for state in (*self.states, *self.empty)]
        return steps.count(steps[0]) == len(steps)

    def advance(self, *, capturable: bool) -> None:
        """Count the step, and bring its number to where the twelve are computed."""
        if capturable:
            steps = [state["step"] for state in (*self.states, *self.empty)]
            torch._foreach_add_(steps, 1)
            if self.owners:
                live = torch.stack(steps[: len(self.owners)])
                self.step = live.to(torch.float64)
            return
        self.step = 1 + (self.states or self.empty)[0]["step"]
        for state in (*self.states, *self.empty):
            state["step"] = self.step


@dataclass(slots=True)
class Roster:
    """The buckets of a group, divided anew only when they no longer describe it."""

    params: list[Tensor] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)

    def call(self, group: dict[str, Any], state: State, *, peak: bool) -> list[Bucket]:
        """Return the parameters that have a gradient, by what one launch can update.

        Moments that are missing start at zero.
        """
        params = [param for param in group["params"] if param.grad is not None]
        capturable = group["capturable"]
        if not self._knows(params, state) or not self._gathers(peak, capturable):
            self._divide(params, state, peak=peak, capturable=capturable)
        return self.buckets

    def _knows(self, params: list[Tensor], state: State) -> bool:
        return (
            len(params) == len(self.params)
            and all(map(is_, params, self.params))
            and all(map(is_, map(state.get, params), self.states))
        )

    def _gathers(self, peak: bool, capturable: bool) -> bool:
        """Fetch every bucket's tensors, and say whether the division still holds."""
        for kept in self.states:
            if isinstance(kept["step"], Tensor) != capturable:
                return False
            if peak and "peak" not in kept:
                return False
        for bucket in self.buckets:
            bucket.gather(peak=peak)
            if not bucket.agrees(capturable=capturable):
                return False
        return True

    def _divide(
        self, params: list[Tensor], state: State, *, peak: bool, capturable: bool
    ) -> None:
        divided: dict[tuple[Any, ...], Bucket] = {}
        for param in params:
            kept = state[param]
            if not kept:
                kept.update(start(param, peak=peak, capturable=capturable))
            elif peak and "peak" not in kept:
                kept["peak"] = kept["square"].clone()
            _settle(param, kept)
            step = kept["step"]
            if isinstance(step, Tensor) != capturable:
                step = kept["step"] = counter(step, param, capturable=capturable)
            dtypes = (param.dtype, _grad(param).dtype, kept["momentum"].dtype)
            key = (param.device, dtypes, None if capturable else step)
            bucket = divided.setdefault(key, Bucket())
            if param.numel():
                bucket.owners.append(param)
                bucket.states.append(kept)
            else:
                bucket.empty.append(kept)
        self.params, self.states = params, [state[param] for param in params]
        self.buckets = list(divided.values())
        for bucket in self.buckets:
            bucket.gather(peak=peak)


def _settle(param: Tensor, kept: dict[str, Any]) -> None:
    """Bring moments that were replaced to one dtype, or refuse what does not fit.

    Errors: `ValueError` for a moment of another shape or on another device.
    """
    moments = [name for name in ("momentum", "square", "peak") if name in kept]
    dtype = MOMENT_DTYPE[param.dtype]
    for name in moments:
        moment = kept[name]
        if moment.shape != param.shape or moment.device != param.device:
            raise ValueError(
                f"the {name} kept for a parameter of shape {tuple(param.shape)} on "
                f"{param.device} has shape {tuple(moment.shape)} on {moment.device}; "
                "move the optimizer's state with its parameters, or begin it anew."
            )
        dtype = torch.promote_types(dtype, moment.dtype)
    for name in moments:
        kept[name] = kept[name].to(dtype)


def _grad(param: Tensor) -> Tensor:
    grad = param.grad
    assert grad is not None
    return grad


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj().resolve_neg())
