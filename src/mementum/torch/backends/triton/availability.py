"""Where Triton can run the kernels, and why not elsewhere."""

from __future__ import annotations

import functools
import importlib
import os
import shlex
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

# Older ones round denormal quotients and roots to zero.
_OLDEST = (3, 6)
_OLDEST_CAPABILITY = (7, 5)
# Triton's name of what compiles for a device, by torch's name of the device.
_COMPILERS = {"cuda": "nvidia", "hip": "amd", "xpu": "intel"}


@functools.cache
def is_interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels, on CPU tensors.

    The environment variable TRITON_INTERPRET says so, before mementum is imported.
    """
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "on", "true", "yes")


@functools.cache
def refuses(device: torch.device) -> str | None:
    """Return why the kernels cannot run on a device, or None if they can."""
    if is_interpreted():
        if device.type != "cpu":
            return "TRITON_INTERPRET is set, and the interpreter runs on the CPU"
        return _refuses_version()
    if device.type not in ("cuda", "xpu"):
        makers = "NVIDIA, AMD and Intel"
        return f"Triton runs on GPUs of {makers}, and not on {device.type}"
    return _refuses_version() or _refuses_compiler(device) or _refuses_gpu(device)


def version() -> str | None:
    """Return Triton's version, or None if there is none that loads."""
    triton = _triton()
    return None if triton is None else str(triton.__version__)


def _refuses_version() -> str | None:
    here = version()
    if here is None:
        return "Triton is not installed; it comes with torch's builds for GPUs"
    if tuple(map(int, here.split(".")[:2])) < _OLDEST:
        return (
            f"Triton is {here}, which flushes denormal numbers to zero; "
            f"{'.'.join(map(str, _OLDEST))} or newer does not"
        )
    return None


def _triton() -> Any:
    try:
        return importlib.import_module("triton")
    except Exception:  # noqa: BLE001 - a Triton that does not load is none
        return None


def _refuses_compiler(device: torch.device) -> str | None:
    kind = "hip" if torch.version.hip else device.type
    if _COMPILERS[kind] not in _compilers():
        return f"this Triton does not compile for {kind}"
    if _compiler() is None:
        return (
            "Triton wants a C compiler to launch its kernels, and there is none; "
            "install gcc or clang, or name one that is there in CC"
        )
    headers = sysconfig.get_paths()["include"]
    if not Path(headers, "Python.h").exists():
        return (
            "Triton builds its launcher with Python's headers, and there is no "
            f"{headers}/Python.h; install them (python3-dev)"
        )
    return None


def _compilers() -> Mapping[str, Any]:
    """Return Triton's compilers, by its names of the makers of GPUs."""
    backends: Mapping[str, Any] = importlib.import_module("triton.backends").backends
    return backends


def _compiler() -> str | None:
    """Return the C compiler that Triton would call."""
    asked = shlex.split(os.environ.get("CC", ""))
    if asked:
        return shutil.which(asked[0])
    return shutil.which("gcc") or shutil.which("clang")


def _refuses_gpu(device: torch.device) -> str | None:
    if device.type != "cuda" or torch.version.hip:
        return None
    capability = _capability(device)
    if capability >= _OLDEST_CAPABILITY:
        return None
    return (
        f"the GPU has compute capability {'.'.join(map(str, capability))}; Triton "
        f"wants {'.'.join(map(str, _OLDEST_CAPABILITY))} or newer"
    )


def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)
