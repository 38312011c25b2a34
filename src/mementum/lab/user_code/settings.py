"""What a script may set for its whole process, and how it is set back."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch

_Pair = tuple[Callable[[], Any], Callable[[Any], object]]


class Settings:
    """What a process has set: folder, numbers' types, streams, and the like."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        for name, (read, _) in _ALL.items():
            with suppress(OSError):  # a folder that was removed
                self._values[name] = read()

    def restore(self) -> None:
        """Set everything as it was."""
        for name in self.changes():
            with suppress(OSError):
                _ALL[name][1](self._values[name])

    def changes(self) -> dict[str, Any]:
        """Return what is set otherwise by now, by name."""
        now = Settings()._values
        return {
            name: now[name]
            for name, value in self._values.items()
            if name in now and not _same(value, now[name])
        }

    def environment(self) -> dict[str, str | None]:
        """Return the variables that are others by now; None for one that is gone."""
        before = self._values["environment"]
        names = before.keys() | os.environ.keys()
        return {
            name: os.environ.get(name)
            for name in names
            if before.get(name) != os.environ.get(name)
        }


def put(changes: Mapping[str, Any]) -> None:
    """Set what `Settings.changes` returned, but what belongs to the whole process."""
    for name in changes.keys() - _OF_THE_PROCESS:
        with suppress(OSError):
            _ALL[name][1](changes[name])


def put_environment(changes: Mapping[str, str | None]) -> None:
    """Set what `Settings.environment` returned."""
    for name, value in changes.items():
        if value is not None:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


_OF_THE_PROCESS = {"environment", "path", "output", "errors", "input", "threads"}
"""What the lab says itself while a file's code runs."""


def _same(one: object, two: object) -> bool:
    """Return whether two settings are equal, as far as they can be compared."""
    try:
        return bool(one == two)
    except Exception:  # noqa: BLE001 - another's objects may compare in any way
        return False


def _set_device(device: torch.device) -> None:
    # A default that is set costs time at every call, and the CPU is the usual one.
    torch.set_default_device(None if device.type == "cpu" else device)


def _set_environment(wanted: Mapping[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


def _set_filters(wanted: list[Any]) -> None:
    warnings.simplefilter("default")  # lets Python look at the filters anew
    warnings.filters[:] = wanted  # type: ignore[index]


def _set_logging(wanted: tuple[int, int, list[logging.Handler]]) -> None:
    logging.disable(wanted[0])
    logging.root.setLevel(wanted[1])
    logging.root.handlers[:] = wanted[2]


def _set_deterministic(wanted: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(wanted[0], warn_only=wanted[1])


def _signals() -> dict[int, Any]:
    return {each: signal.getsignal(each) for each in _SIGNALS}


def _set_signals(wanted: Mapping[int, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in wanted.items():
            if handler is not None:
                signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


def _attribute(owner: Any, name: str) -> _Pair:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _list(owner: Any, name: str) -> _Pair:
    def write(value: list[Any]) -> None:
        getattr(owner, name)[:] = value

    return lambda: [*getattr(owner, name)], write


_ALL: dict[str, _Pair] = {
    "folder": (os.getcwd, os.chdir),
    "environment": (lambda: dict(os.environ), _set_environment),
    "arguments": _list(sys, "argv"),
    "path": _list(sys, "path"),
    "output": _attribute(sys, "stdout"),
    "errors": _attribute(sys, "stderr"),
    "input": _attribute(sys, "stdin"),
    "exceptions": _attribute(sys, "excepthook"),
    "depth": (sys.getrecursionlimit, sys.setrecursionlimit),
    "signals": (_signals, _set_signals),
    "collection": (gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    "warnings": (lambda: [*warnings.filters], _set_filters),
    "showing": _attribute(warnings, "showwarning"),
    "logging": (
        lambda: (
            logging.root.manager.disable,
            logging.root.level,
            [*logging.root.handlers],
        ),
        _set_logging,
    ),
    "numpy errors": (np.geterr, lambda value: np.seterr(**value)),
    "numpy printing": (np.get_printoptions, lambda value: np.set_printoptions(**value)),
    "dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "device": (torch.get_default_device, _set_device),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "anomalies": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "determinism": (
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        _set_deterministic,
    ),
    "precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "cudnn benchmark": _attribute(torch.backends.cudnn, "benchmark"),
    "cudnn determinism": _attribute(torch.backends.cudnn, "deterministic"),
    "mkldnn": _attribute(torch.backends.mkldnn, "enabled"),
}
