"""How numbers of the host reach a device: in order with its work, and without waiting.

A copy to a device runs later than it is asked for, from memory that must not have
changed by then. So each goes through a buffer of its own, of a ring: one is used again
when its copy has run. A graph that is being captured reads the buffer at every replay,
so there it is a new one, and stays.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mementum.torch.backends.capture import capturing, keep_for_graphs

# Copies that may be under way before the host waits for the oldest.
_BUFFERS = 3


def current(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which launches go to a device.

    On a CPU they are the interpreter's, which computes by NumPy: silently there, too.
    """
    if device.type == "cpu":
        return np.errstate(all="ignore")
    chosen: AbstractContextManager[Any] = torch.get_device_module(device).device(device)
    return chosen


def stream(device: torch.device) -> int:
    """Return the number of the stream that launches on a device go to now."""
    if device.type == "cpu":
        return 0
    number: int = torch.get_device_module(device).current_stream(device).stream_id
    return number


def uploaded(numbers: NDArray[Any], device: torch.device) -> Tensor:
    """Return numbers on a device, in memory of their own."""
    if device.type == "cpu":
        return torch.from_numpy(numbers.copy())
    return _copied(_pinned(numbers), device)


def _copied(buffer: Tensor, device: torch.device) -> Tensor:
    there = _moved(buffer, device)
    if capturing():
        keep_for_graphs((buffer, there))
    return there


def _moved(buffer: Tensor, device: torch.device) -> Tensor:
    return buffer.to(device, non_blocking=True)


def _pinned(numbers: NDArray[Any]) -> Tensor:
    return torch.from_numpy(numbers).pin_memory()


def _event(device: torch.device) -> Any:
    return torch.get_device_module(device).Event()


@dataclass(slots=True)
class _Buffer:
    """Pinned memory of the host, and when the last copy from it has run."""

    memory: Tensor
    copied: Any


@dataclass(slots=True)
class Table:
    """Numbers that a device is sent anew when they are others: of one dtype and count.

    `there` are those on the device, and `sent` says which they are.
    """

    device: torch.device
    there: Tensor | None = None
    sent: bytes = b""
    _ring: list[_Buffer] = field(default_factory=list)
    _turn: int = 0
    # For the next capture, in which pinning memory may not be allowed.
    _spare: Tensor | None = None

    def update(self, numbers: NDArray[Any]) -> Tensor:
        """Return the numbers on the device."""
        if self.device.type == "cpu":
            return uploaded(numbers, self.device)
        if capturing():
            return self._captured(numbers)
        raw = numbers.tobytes()
        if self.there is None:
            self.there = uploaded(numbers, self.device)
        elif raw != self.sent:
            self._send(numbers, self.there)
        if self._spare is None:
            self._spare = _pinned(numbers)
        self.sent = raw
        return self.there

    def _captured(self, numbers: NDArray[Any]) -> Tensor:
        """Return the numbers as replays find them: on either side in new memory."""
        if self._spare is None:
            return uploaded(numbers, self.device)
        buffer, self._spare = self._spare, None
        buffer.numpy()[...] = numbers
        return _copied(buffer, self.device)

    def _send(self, numbers: NDArray[Any], to: Tensor) -> None:
        buffer = self._next(numbers)
        buffer.memory.numpy()[...] = numbers
        to.copy_(buffer.memory, non_blocking=True)
        buffer.copied.record()

    def _next(self, numbers: NDArray[Any]) -> _Buffer:
        """Return a buffer that no copy reads any more: the oldest, if all were used."""
        if len(self._ring) < _BUFFERS:
            self._ring.append(_Buffer(_pinned(numbers), _event(self.device)))
            return self._ring[-1]
        buffer = self._ring[self._turn]
        self._turn = (self._turn + 1) % _BUFFERS
        buffer.copied.synchronize()
        return buffer
