"""Runs of torch's optimizers to be adopted, and what they must give."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    Options,
    drive,
    gradients,
    parameters,
    twins,
    with_gaps,
)
from torch import Tensor

from mementum.torch import AMSGrad, FamilyOptimizer, Mementum

SHAPES = [(3, 4), (5,), (), (64, 64)]
TORCHS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
}
FLAGS: dict[str, Options] = {
    "loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
torchs = pytest.mark.parametrize("build", TORCHS.values(), ids=TORCHS.keys())
amsgrads = pytest.mark.parametrize("amsgrad", [False, True], ids=["", "amsgrad"])


def ours(theirs: torch.optim.Optimizer, params: Any) -> FamilyOptimizer:
    """Return the member that is the same rule, made with the same hyperparameters."""
    (group,) = theirs.param_groups
    chosen = {key: group[key] for key in ("lr", "eps", "weight_decay")}
    chosen["decoupled_weight_decay"] = isinstance(theirs, torch.optim.AdamW)
    if group["amsgrad"]:
        return AMSGrad(params, variant="torch", **chosen)
    return Mementum(params, momentum=0.9, memory=0.999, **chosen)


def assert_same_step(
    first: torch.optim.Optimizer, second: torch.optim.Optimizer
) -> None:
    """See two optimizers, on parameters of their own, take the same next step.

    Both round the parameter (half a unit in the last place each), and torch its decay
    too, and the factor of it (one and a half more). The step itself is rounded some 16
    times by each, and is at most lr times the largest |m| / sqrt(v), 10 in 50 steps.
    """
    own = [p for g in first.param_groups for p in g["params"]]
    other = [p for g in second.param_groups for p in g["params"]]
    (grads,) = gradients(own, 1, seed=77)
    drive(first, own, [grads])
    drive(second, other, [grads])
    lr = float(first.param_groups[0]["lr"])
    for a, b in zip(own, other, strict=True):
        unit = torch.finfo(a.dtype).eps
        bound = 3 * unit * a.detach().abs() + 32 * unit * 10 * lr
        assert bool(((a - b).detach().abs() <= bound).all())


def running(
    build: Callable[..., torch.optim.Optimizer],
    dtype: torch.dtype = torch.float32,
    steps: int = 9,
    **options: Any,
) -> tuple[list[Tensor], torch.optim.Optimizer]:
    params = parameters(dtype, SHAPES)
    optimizer = build(params, **({"lr": 0.01, "weight_decay": 0.1} | options))
    drive(optimizer, params, with_gaps(gradients(params, steps)))
    return params, optimizer


def copied(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return the optimizer's copy on copies of its parameters."""
    (group,) = optimizer.param_groups
    options = {k: group[k] for k in ("lr", "eps", "weight_decay", "amsgrad")}
    copy = type(optimizer)(twins(group["params"]), **options)  # type: ignore[call-arg]
    copy.load_state_dict(deepcopy(optimizer.state_dict()))
    return copy


def named(params: list[Tensor], order: str) -> list[tuple[str, Tensor]]:
    return [(letter, params["abcd".index(letter)]) for letter in order]


def expected_squares(
    source: torch.optim.Optimizer, params: list[Tensor]
) -> list[Tensor]:
    steps = [float(source.state[p]["step"]) for p in params]
    return [
        (source.state[p]["exp_avg_sq"].double() / (1 - 0.999**t)).float()
        for p, t in zip(params, steps, strict=True)
    ]
