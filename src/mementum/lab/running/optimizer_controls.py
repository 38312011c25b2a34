"""Controls on the optimizers themselves: trajectories that must be one another's.

Each walks the same valley twice, in float64. They take a fraction of a second, so every
comparison makes them with the very software it was carried out with.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch.optim import Optimizer

from mementum import (
    Adam,
    AdamNC,
    AdamNX,
    AdaMomentum,
    AdamW,
    AdaXW,
    AMSGrad,
    Mementum,
)
from mementum.lab.statistics import Control

_STEPS = 60
_WIDTH = 24
TOLERANCE = 1e-9
"""Largest relative distance of two float64 trajectories that are the same in exact
arithmetic: 60 steps of a few roundings each stay below 1e-12; a different formula is
visible from 1e-6 on."""

_Make = Callable[[list[torch.Tensor]], Optimizer]


def controls() -> tuple[Control, ...]:
    """Return the controls, made once a process."""
    return _controls()


@functools.cache
def _controls() -> tuple[Control, ...]:
    return tuple(
        control(name, mine, other, tolerance) for name, mine, other, tolerance in PAIRS
    )


def control(name: str, mine: _Make, other: _Make, tolerance: float) -> Control:
    """Walk with both and compare where they go."""
    try:
        gap = _distance(_walk(mine), _walk(other))
    except Exception as error:  # noqa: BLE001 - whatever it is, the control failed
        words = f"{type(error).__name__}: {error}"
        return Control(name=name, passed=False, words=words)
    return Control(
        name=name,
        passed=gap <= tolerance,
        words=f"largest relative distance over {_STEPS} steps {gap:.1e}, "
        f"allowed {tolerance:.0e}",
    )


def _walk(make: _Make) -> torch.Tensor:
    """Return the parameters after each step, [step, parameter]."""
    random = torch.Generator().manual_seed(1)
    with torch.device("cpu"):
        start = torch.randn(_WIDTH, generator=random, dtype=torch.float64)
        noise = torch.randn(_STEPS, _WIDTH, generator=random, dtype=torch.float64)
        slope = torch.logspace(-2, 2, _WIDTH, dtype=torch.float64)
    parameter = start.clone().requires_grad_()
    optimizer = make([parameter])
    path = []
    for step in range(_STEPS):
        parameter.grad = slope * (parameter.detach() - 1) + noise[step]
        optimizer.step()
        path.append(parameter.detach().clone())
    return torch.stack(path)


def _distance(mine: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest distance, relative to the larger of 1 and the parameter."""
    return float(((mine - other).abs() / other.abs().clamp(min=1)).max())


def _longest(parameters: list[torch.Tensor]) -> Optimizer:
    """AdaX's memory at AdamNX's ratio, in AdamNX's shell."""
    beta = 0.99
    ratio = float(beta ** -(1 - beta))
    return Mementum(parameters, lr=_LR, memory=ratio, eps=1e-8, weight_decay=1e-2)


_LR = 1e-2
PAIRS: Sequence[tuple[str, _Make, _Make, float]] = (
    (
        "Adam is torch's",
        lambda p: Adam(p, lr=_LR),
        lambda p: torch.optim.Adam(p, lr=_LR),
        TOLERANCE,
    ),
    (
        "AdamW is torch's",
        lambda p: AdamW(p, lr=_LR),
        lambda p: torch.optim.AdamW(p, lr=_LR),
        TOLERANCE,
    ),
    (
        "AMSGrad, in torch's variant, is torch's",
        lambda p: AMSGrad(p, lr=_LR, variant="torch"),
        lambda p: torch.optim.Adam(p, lr=_LR, amsgrad=True),
        TOLERANCE,
    ),
    (
        "AdamNX is AdaX's memory with its momentum corrected",
        lambda p: AdamNX(p, lr=_LR),
        _longest,
        TOLERANCE,
    ),
    (
        "AdaMomentum without momentum is Adam",
        lambda p: AdaMomentum(p, lr=_LR, betas=(0.0, 0.999), eps=1e-30),
        lambda p: Adam(p, lr=_LR, betas=(0.0, 0.999), eps=1e-30),
        TOLERANCE,
    ),
    (
        "AdaX with a horizon of nearly 0 is AdamNC",
        lambda p: AdaXW(p, lr=_LR, betas=(0.9, 1e-14), eps=1e-12, weight_decay=0.0),
        lambda p: AdamNC(p, lr=_LR, momentum=0.9, eps=1e-12),
        TOLERANCE,
    ),
)
