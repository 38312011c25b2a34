"""The kernel, once for each way to run it, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from mementum.family.rule import Coefficients
from mementum.torch.backends import foreach, loop, native
from mementum.torch.backends.bucket import Bucket


class Backend(Protocol):
    """A module that runs the kernel."""

    name: str

    def refuses(self, flags: Mapping[str, Any], param: Tensor) -> str | None:
        """Return why parameters like this one cannot run here, or None if they can."""

    def update(self, c: Coefficients, bucket: Bucket) -> None:
        """Take one step with the numbers `c`."""


class Choice(NamedTuple):
    """The backend that runs a bucket, and why each one before it does not."""

    backend: Backend
    refusals: dict[str, str]


# Fastest first.
BACKENDS: tuple[Backend, ...] = (native, foreach, loop)


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
    raise NotImplementedError(
        f"fused is True, but {refusals[native.name]}; leave fused None, and the "
        "fastest path that can serve is taken."
    )
