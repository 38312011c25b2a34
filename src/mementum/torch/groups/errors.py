"""Errors that begin with the name of the optimizer they come from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mementum.torch.state.moments import MOMENTS

_OURS = (
    FloatingPointError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextlib.contextmanager
def named_after(optimizer: str, where: str = "") -> Iterator[None]:
    """Begin the errors raised inside with the optimizer's name."""
    try:
        yield
    except KeyError as error:
        if error.args[0] not in ("step", *MOMENTS):
            raise
        raise RuntimeError(
            f"{optimizer}: {where}the state of a parameter has no {error.args[0]!r}, "
            "which something has taken out; load a state dict, or delete the whole of "
            "the parameter's state to begin it anew."
        ) from None
    except _OURS as error:
        if type(error) not in _OURS or str(error).startswith(optimizer):
            raise
        raise type(error)(f"{optimizer}: {where}{error}") from None
