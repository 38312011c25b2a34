"""Parameters that one launch can update together."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mementum.torch.state import counter, start


@dataclass(slots=True)
class Bucket:
    """Parameters of a group that share their device, dtypes and step.

    The lists run in parallel; complex tensors appear as views of their real and
    imaginary parts, and `peak` is empty where the rule keeps none. `step` is the
    number of the step being taken: an int, or, where steps are captured, a float64
    tensor with one element a parameter.
    """

    step: Any
    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor] = field(default_factory=list)
    momentum: list[Tensor] = field(default_factory=list)
    square: list[Tensor] = field(default_factory=list)
    peak: list[Tensor] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype the step is computed in: that of the moments."""
        return self.momentum[0].dtype

    def rows(self, *, peak: bool | None = None) -> tuple[list[Tensor], ...]:
        """Return the lists that run in parallel, with the peak's where there is one."""
        rows = (self.params, self.grads, self.momentum, self.square)
        return (*rows, self.peak) if (self.peak if peak is None else peak) else rows

    def add(
        self, param: Tensor, grad: Tensor, state: dict[str, Any], *, peak: bool
    ) -> None:
        """Append a parameter; one without elements has nothing to update."""
        self.states.append(state)
        if param.numel() == 0:
            return
        self.params.append(_real(param))
        self.grads.append(_real(grad))
        self.momentum.append(_real(state["momentum"]))
        self.square.append(_real(state["square"]))
        if peak:
            self.peak.append(_real(state["peak"]))


def collect(
    params: Iterable[Tensor],
    state: MutableMapping[Tensor, dict[str, Any]],
    *,
    peak: bool,
    capturable: bool,
) -> list[Bucket]:
    """Return the parameters that have a gradient, by what one launch can update.

    Moments that are missing start at zero.
    """
    buckets: dict[tuple[Any, ...], Bucket] = {}
    for param in params:
        grad = param.grad
        if grad is None:
            continue
        kept = state[param]
        if not kept:
            kept.update(start(param, peak=peak, capturable=capturable))
        elif peak and "peak" not in kept:
            kept["peak"] = kept["square"].clone()
        step = kept["step"]
        if isinstance(step, Tensor) != capturable:
            step = kept["step"] = counter(step, param, capturable=capturable)
        dtypes = (param.dtype, grad.dtype, kept["momentum"].dtype)
        key = (param.device, dtypes, None if capturable else step)
        if key not in buckets:
            buckets[key] = Bucket(step=None if capturable else step + 1)
        buckets[key].add(param, grad, kept, peak=peak)
    return list(buckets.values())


def advance(bucket: Bucket) -> None:
    """Count the step, and bring its number to where the twelve are computed."""
    if bucket.step is not None:
        for state in bucket.states:
            state["step"] = bucket.step
        return
    torch._foreach_add_([state["step"] for state in bucket.states], 1)
    taken = [state["step"] for state in bucket.states if state["momentum"].numel()]
    bucket.step = torch.stack(taken).to(torch.float64) if taken else None


def _real(tensor: Tensor) -> Tensor:
    if not tensor.is_complex():
        return tensor
    return torch.view_as_real(tensor.resolve_conj())
