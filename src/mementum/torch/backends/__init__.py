"""The kernel, once for each way to run it, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from mementum.family.rule import Coefficients
from mementum.torch.backends import foreach, loop, native, triton
from mementum.torch.backends.bucket import Bucket
from mementum.torch.backends.guard import Guard, Rows

__all__ = [
    "BACKENDS",
    "FLAGS",
    "Backend",
    "Choice",
    "choose",
    "choose_for_sums",
    "is_asynchronous",
]


class Backend(Protocol):
    """A module that runs the kernel, on one kind of `device` or, if None, on all."""

    name: str
    device: str | None

    def refuses(self, flags: Mapping[str, Any], param: Tensor) -> str | None:
        """Return why parameters like this one cannot run here, or None if they can."""

    def guard(self, rows: Rows) -> Guard:
        """Return what remembers of what kind tensors are, as far as it matters here."""

    def ready(self, bucket: Bucket) -> None:
        """Look at a bucket before any is stepped, and refuse what cannot be stepped."""

    def update(self, c: Coefficients, bucket: Bucket) -> None:
        """Take one step with the numbers `c`, for a bucket that is ready."""

    def square_sums(self, grads: list[Tensor]) -> Tensor:
        """Return the sum of squares of each real, dense gradient, in float64."""


class Choice(NamedTuple):
    """The backend that runs a bucket, and why each one before it does not."""

    backend: Backend
    refusals: dict[str, str]


# Fastest first. Triton's interpreter, which is slow, is asked for.
BACKENDS: tuple[Backend, ...] = (native, triton, foreach, loop)
if triton.device == "cpu":
    BACKENDS = (triton, native, foreach, loop)
# The flags of a group that a choice hangs on, and those of one that asks for nothing.
FLAGS = ("fused", "foreach", "capturable", "differentiable")
_FREE = dict(zip(FLAGS, (None, None, False, False), strict=True))


def choose(flags: Mapping[str, Any], param: Tensor) -> Choice:
    """Return the fastest backend for parameters like this one, in a group with flags.

    Errors: `NotImplementedError` if the flags ask for one that cannot serve.
    """
    refusals: dict[str, str] = {}
    for backend in BACKENDS:
        reason = backend.refuses(flags, param)
        if reason is None:
            return Choice(backend, refusals)
        refusals[backend.name] = reason
    fused = [backend for backend in BACKENDS if backend.device is not None]
    here = [backend for backend in fused if backend.device == param.device.type]
    told = dict.fromkeys(refusals[backend.name] for backend in here or fused)
    reasons = " and ".join(told)
    raise NotImplementedError(
        f"fused is True, but {reasons}; leave fused None, and the fastest path that "
        "can serve is taken."
    )


def is_asynchronous(device: torch.device) -> bool:
    """Whether a device computes on while the host does other things.

    In Triton's interpreter the CPU is taken for such a one.
    """
    return device.type == triton.device or device.type in ("cuda", "xpu")


def choose_for_sums(grads: list[Tensor]) -> Backend:
    """Return the fastest backend that adds up the squares of all these gradients.

    A norm is over all groups, so the paths that they ask for do not count.
    """
    kinds = {(grad.device, type(grad)): grad for grad in grads}.values()
    # How they lie does not count: those with gaps are copied.
    alike = [grad.new_empty(0) for grad in kinds]
    return next(
        backend
        for backend in BACKENDS
        if all(backend.refuses(_FREE, grad) is None for grad in alike)
    )
