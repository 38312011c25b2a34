"""A device to measure on: its clock, its memory, and what it is."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch

from mementum import machine

_Step = Callable[[], object]

_KINDS = ("cuda", "xpu", "cpu")
# What nvidia-smi knows beside torch, by our names.
_ASKED = {
    "driver": "driver_version",
    "clock": "clocks.sm",
    "highest_clock": "clocks.max.sm",
    "memory_clock": "clocks.mem",
    "power_limit": "power.limit",
    "temperature": "temperature.gpu",
}


class Times(NamedTuple):
    """Seconds of a step by the device's clock, and until the call of it returned."""

    step: float
    host: float


class Device(Protocol):
    """Where steps are taken and timed."""

    @property
    def at(self) -> torch.device:
        """Return torch's name of it."""

    def current(self) -> AbstractContextManager[Any]:
        """Return a context in which the device is the current one."""

    def sample(self, step: _Step, before: _Step | None = None) -> Times:
        """Take a step on the idle device, or behind the work that `before` asks for."""

    def free(self) -> int | None:
        """Return the bytes that can be allocated, if there is a bound."""

    def peak(self, step: _Step) -> int | None:
        """Take a step; return the bytes allocated at its peak that were not before."""

    def facts(self) -> dict[str, Any]:
        """Return what a reader must know of the device to judge the times."""


@dataclass(frozen=True, slots=True)
class _Cpu:
    """The processor, which computes a step before its call returns."""

    at: torch.device

    def current(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def sample(self, step: _Step, before: _Step | None = None) -> Times:
        start = time.perf_counter()
        step()
        taken = time.perf_counter() - start
        return Times(taken, taken)

    def free(self) -> int | None:
        return None

    def peak(self, step: _Step) -> int | None:
        step()
        return None

    def facts(self) -> dict[str, Any]:
        return {"device": machine.processor(), **_versions()}


@dataclass(frozen=True, slots=True)
class _Accelerator:
    """A GPU, which computes on after the call of a step has returned."""

    at: torch.device

    @property
    def _module(self) -> Any:
        return torch.get_device_module(self.at)

    def current(self) -> AbstractContextManager[Any]:
        chosen: AbstractContextManager[Any] = self._module.device(self.at)
        return chosen

    def sample(self, step: _Step, before: _Step | None = None) -> Times:
        start, end = (self._module.Event(enable_timing=True) for _ in range(2))
        self._module.synchronize()
        if before is not None:
            before()
        start.record()
        began = time.perf_counter()
        step()
        host = time.perf_counter() - began
        end.record()
        end.synchronize()
        return Times(start.elapsed_time(end) / 1e3, host)

    def free(self) -> int | None:
        self._module.empty_cache()
        if hasattr(self._module, "mem_get_info"):
            return int(self._module.mem_get_info(self.at)[0])
        total: int = self._module.get_device_properties(self.at).total_memory
        return total - int(self._module.memory_allocated(self.at))

    def peak(self, step: _Step) -> int | None:
        self._module.synchronize()
        self._module.reset_peak_memory_stats(self.at)
        before = self._module.memory_allocated(self.at)
        step()
        self._module.synchronize()
        return int(self._module.max_memory_allocated(self.at)) - int(before)

    def facts(self) -> dict[str, Any]:
        properties = self._module.get_device_properties(self.at)
        asked = _nvidia_smi(properties) if self.at.type == "cuda" else {}
        return {
            "device": properties.name,
            "memory": properties.total_memory,
            "CUDA": torch.version.cuda,
            "HIP": torch.version.hip,
            **asked,
            **_versions(),
        }


def opened(name: str) -> Device:
    """Return a device by torch's name of it. Errors: `ValueError` if it is not here."""
    try:
        at = torch.device(name)
    except RuntimeError:
        at = torch.device("meta")
    if at.type not in _KINDS:
        kinds = ", ".join(_KINDS)
        raise ValueError(
            f"--device is {name}; it must be one of {kinds}, as it is or with a "
            "number, as cuda:1."
        )
    if at.type == "cpu":
        return _Cpu(torch.device("cpu"))
    module = torch.get_device_module(at)
    count = module.device_count() if module.is_available() else 0
    if (at.index or 0) >= count:
        raise ValueError(
            f"--device is {name}, and torch {torch.__version__} sees {count} devices "
            f"of {at.type} here; leave it out to measure the processor."
        )
    index = module.current_device() if at.index is None else at.index
    return _Accelerator(torch.device(at.type, index))


def _versions() -> dict[str, str | None]:
    return {"Triton": machine.version("triton"), **machine.versions()}


def _nvidia_smi(properties: Any) -> dict[str, str]:
    """Return what nvidia-smi says of a GPU, or nothing where it says nothing."""
    program = shutil.which("nvidia-smi")
    if program is None or not hasattr(properties, "uuid"):
        return {}
    fields = ",".join(_ASKED.values())
    try:
        answer = subprocess.run(  # noqa: S603 - no word of it is a user's
            [
                program,
                f"--id=GPU-{properties.uuid}",
                f"--query-gpu={fields}",
                "--format=csv,noheader",
            ],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in answer.stdout.strip().split(",")]
    return dict(zip(_ASKED, values, strict=False))
