"""The kernel, once for each way to run it, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from mementum.rule import Coefficients
from mementum.torch.backends import foreach, loop
from mementum.torch.bucket import Bucket


class Backend(Protocol):
    """A module that runs the kernel."""

    name: str

    def refuses(self, flags: Mapping[str, Any]) -> str | None:
        """Return why a group with these flags cannot run here, or None if it can."""

    def update(self, c: Coefficients, bucket: Bucket) -> None:
        """Take one step with the numbers `c`."""


class Choice(NamedTuple):
    """The backend that runs a group, and why each one before it does not."""

    backend: Backend
    refusals: dict[str, str]


# Fastest first; the last one serves everything.
BACKENDS: tuple[Backend, ...] = (foreach, loop)


def choose(flags: Mapping[str, Any]) -> Choice:
    """Return the fastest backend that can serve a group with these flags."""
    refusals = {"fused": "this release has no compiled kernel"}
    for backend in BACKENDS:
        reason = backend.refuses(flags)
        if reason is None:
            return Choice(backend, refusals)
        refusals[backend.name] = reason
    raise RuntimeError(f"no backend can run: {refusals}")
