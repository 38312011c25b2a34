"""Errors that begin with the name of the optimizer they come from."""

from __future__ import annotations

from types import TracebackType

from mementum.torch.state.moments import MOMENTS

_OURS = (
    FloatingPointError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


class named_after:  # noqa: N801 - it reads as a function
    """Begin the errors of ours that are raised inside with the optimizer's name.

    No generator and no name for the new error: a cycle of error and frame would keep
    the gradients of a step that raises.
    """

    def __init__(self, optimizer: str, where: str = "") -> None:
        self._start = f"{optimizer}: {where}"
        self._optimizer = optimizer

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyError) and error.args[0] in ("step", *MOMENTS):
            raise RuntimeError(
                f"{self._start}the state of a parameter has no {error.args[0]!r}, "
                "which something has taken out; load a state dict, or delete the whole "
                "of the parameter's state to begin it anew."
            ) from None
        if kind in _OURS and not str(error).startswith(self._optimizer):
            raise kind(f"{self._start}{error}") from None
