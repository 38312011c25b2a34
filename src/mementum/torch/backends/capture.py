"""Graphs that are being captured, which replay what a device was asked for."""

from __future__ import annotations

from typing import Any

import torch

# What graphs read and write at every replay. They do not say when they are gone.
_kept: list[Any] = []


def capturing() -> bool:
    """Whether a graph is being captured, which will replay what the device does."""
    return any(map(_captures, (torch.cuda, torch.xpu)))


def keep_for_graphs(anything: Any) -> None:
    """Keep what a graph that is being captured reads, as long as the process lives."""
    _kept.append(anything)


def _captures(module: Any) -> bool:
    # Asking one that is not initialised would initialise it.
    asks = getattr(module, "is_current_stream_capturing", None)
    return asks is not None and module.is_initialized() and bool(asks())
