"""Errors that begin with the name of the optimizer they come from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NoReturn

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
    except Exception as error:  # noqa: BLE001 - it is raised again, whatever it is
        raise_named(error, optimizer, where)


def raise_named(error: Exception, optimizer: str, where: str = "") -> NoReturn:
    """Raise an error anew, beginning with the optimizer's name if it is one of ours."""
    if isinstance(error, KeyError) and error.args[0] in ("step", *MOMENTS):
        raise RuntimeError(
            f"{optimizer}: {where}the state of a parameter has no {error.args[0]!r}, "
            "which something has taken out; load a state dict, or delete the whole of "
            "the parameter's state to begin it anew."
        ) from None
    if type(error) not in _OURS or str(error).startswith(optimizer):
        raise error
    raise type(error)(f"{optimizer}: {where}{error}") from None
