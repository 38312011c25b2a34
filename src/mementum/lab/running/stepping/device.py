"""The devices that torch sees here: which there are, what they are, and who has one."""

from __future__ import annotations

import functools
import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch

from mementum.bench.gpu.device import opened
from mementum.lab import arguments
from mementum.lab.arguments import AUTO, Argument, ArgumentError
from mementum.lab.records.run import CPU

_VISIBLE = {"cuda": "CUDA_VISIBLE_DEVICES", "xpu": "ZE_AFFINITY_MASK"}
"""Which of a kind's cards a process sees, by the variable that says so."""
_TOLD = ("device", "driver", "CUDA", "HIP")


class Choice(NamedTuple):
    """A kind of device, and which card of it; None for all."""

    kind: str = CPU
    card: int | None = None

    def here(self) -> bool:
        """Return whether this machine has a device of the kind."""
        return self.kind == CPU or _count(self.kind) > 0

    def cards(self) -> tuple[int, ...]:
        """Return the cards of this machine that are meant; the CPU has none.

        Errors: `LabError` if they are not there.
        """
        if self.kind == CPU:
            return ()
        there = _count(self.kind)
        if (self.card or 0) >= there:
            name = self.kind if self.card is None else f"{self.kind}:{self.card}"
            raise ArgumentError(
                Argument("device"),
                f" is {name}, and torch {torch.__version__} sees {there} devices of "
                f"{self.kind} here; give one that is there, or cpu.",
            )
        return tuple(range(there)) if self.card is None else (self.card,)


PROCESSOR = Choice()


def chosen(value: str | None) -> Choice:
    """Return the device that an argument means; without a value it is the CPU.

    "auto" is the accelerator that torch offers here, else the CPU. Apple's is to be
    asked for by its name: tasks of the lab are scored in float64, which it has not.
    """
    if value is None:
        return PROCESSOR
    choice = Choice(*arguments.device("device", value))
    if choice.kind != AUTO:
        return choice
    return Choice(next(filter(_count, _VISIBLE), CPU))


def _count(kind: str) -> int:
    """Return how many cards of a kind torch sees."""
    module: Any = torch.get_device_module(kind)
    return int(module.device_count()) if module.is_available() else 0


def alone(kind: str, index: int) -> dict[str, str]:
    """Return the environment in which a process sees one card, and no other.

    Code of the user's that says "cuda" means that card then. The numbers are those of
    this process, which may itself see some of the cards only.
    """
    if kind not in _VISIBLE:
        return {}
    variable = _VISIBLE[kind]
    seen = os.environ.get(variable)
    return {variable: seen.split(",")[index].strip() if seen else f"{index}"}


def current(choice: Choice) -> AbstractContextManager[object]:
    """Return what a run of this process is in, so that it finds the card."""
    if choice.card is None:
        return nullcontext()
    module: Any = torch.get_device_module(choice.kind)
    context: AbstractContextManager[object] = module.device(choice.card)
    return context


@contextmanager
def exact() -> Generator[None, None, None]:
    """Let a card compute float32 in float32, as a CPU does, and always alike."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32
    matmul.allow_tf32 = False
    try:
        with cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before


def facts(kind: str) -> dict[str, str]:
    """Return what identifies the card that runs of this kind are on here."""
    if kind == CPU or not _count(kind):
        return {}
    if kind not in _VISIBLE:
        return {"device": kind}
    module: Any = torch.get_device_module(kind)
    return _facts(kind, module.current_device())


@functools.cache
def _facts(kind: str, index: int) -> dict[str, str]:
    told = opened(f"{kind}:{index}").facts()
    return {name.lower(): f"{told[name]}" for name in _TOLD if told.get(name)}
