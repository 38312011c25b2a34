"""Every learning-rate scheduler of torch drives every optimizer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.torch import rounding
from tests.torch.cases import (
    KINDS,
    MEMBERS,
    Member,
    give,
    gradients,
    members,
    numbers_of,
    parameters,
)
from torch.optim import lr_scheduler as torchs
from torch.optim import swa_utils

STEPS = 20


def factor(epoch: int) -> float:
    return 0.9**epoch


BUILD: dict[str, Callable[[Any], Any]] = {
    "ChainedScheduler": lambda o: torchs.ChainedScheduler(
        [torchs.ConstantLR(o, total_iters=5), torchs.ExponentialLR(o, gamma=0.9)]
    ),
    "ConstantLR": lambda o: torchs.ConstantLR(o, total_iters=5),
    "CosineAnnealingLR": lambda o: torchs.CosineAnnealingLR(o, T_max=12),
    "CosineAnnealingWarmRestarts": lambda o: torchs.CosineAnnealingWarmRestarts(
        o, T_0=7
    ),
    "CyclicLR": lambda o: torchs.CyclicLR(o, 1e-3, 1e-2, step_size_up=4),
    "ExponentialLR": lambda o: torchs.ExponentialLR(o, gamma=0.9),
    "LambdaLR": lambda o: torchs.LambdaLR(o, factor),
    "LinearLR": lambda o: torchs.LinearLR(o, total_iters=10),
    "MultiStepLR": lambda o: torchs.MultiStepLR(o, [5, 12]),
    "MultiplicativeLR": lambda o: torchs.MultiplicativeLR(o, lambda _: 0.95),
    "OneCycleLR": lambda o: torchs.OneCycleLR(o, max_lr=0.01, total_steps=STEPS + 1),
    "PolynomialLR": lambda o: torchs.PolynomialLR(o, total_iters=15),
    "ReduceLROnPlateau": lambda o: torchs.ReduceLROnPlateau(o, patience=2),
    "SequentialLR": lambda o: torchs.SequentialLR(
        o,
        [torchs.ConstantLR(o, total_iters=9), torchs.ExponentialLR(o, gamma=0.9)],
        milestones=[8],
    ),
    "StepLR": lambda o: torchs.StepLR(o, step_size=6),
    "SWALR": lambda o: swa_utils.SWALR(o, swa_lr=0.05, anneal_epochs=10),
}


def test_every_scheduler_of_torch_is_listed() -> None:
    public = {
        name
        for name, value in inspect.getmembers(torchs, inspect.isclass)
        if issubclass(value, torchs.LRScheduler) and not name.startswith("_")
    }
    assert public - {"LRScheduler"} == set(BUILD) - {"SWALR"}


# Three ways to set a tensor's value stand for all of them.
TENSORS = ("OneCycleLR", "LambdaLR", "ReduceLROnPlateau")
# One that sets the rate and the momentum sees every member, the others its kind.
CASES = [
    *((kind, name, False) for name in BUILD for kind in KINDS),
    *((kind, name, True) for name in TENSORS for kind in KINDS),
    *((member, "OneCycleLR", False) for member in MEMBERS if member not in KINDS),
]


# SequentialLR of torch 2.6 calls what it deprecates.
@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")
@pytest.mark.parametrize(
    ("member", "name", "tensor_lr"),
    CASES,
    ids=[
        f"{member.__name__}-{name}{' of a tensor' if tensor else ''}"
        for member, name, tensor in CASES
    ],
)
def test_a_scheduler_drives_the_reference(
    member: Member, name: str, tensor_lr: bool
) -> None:
    (param,) = parameters(torch.float64, [(20,)])
    lr: Any = torch.tensor(2e-3, dtype=torch.float64) if tensor_lr else 2e-3
    optimizer = member([param], lr=lr)
    scheduler = BUILD[name](optimizer)
    state = rounding.State.start(param.detach().numpy())
    errors = rounding.exactly(state)
    units = rounding.Units.of(torch.float64)
    cycled = "momentum" if "momentum" in member.recipe.defaults else "betas"
    seen = set()
    for t, step in enumerate(gradients([param], STEPS), start=1):
        group = optimizer.param_groups[0]
        now = {"lr": float(group["lr"]), cycled: group[cycled]}
        seen.add((now["lr"], now[cycled]))
        give([param], step)
        optimizer.step()
        c, peak = numbers_of(member, t, **now)
        state, errors = rounding.errors_after(
            c, step[0].numpy(), state, errors, units, peak=peak
        )
        scheduler.step(*((1.0,) if name == "ReduceLROnPlateau" else ()))
    rounding.assert_within(rounding.state_of(optimizer, param), state, errors)
    assert len(seen) > 1
    if name in ("OneCycleLR", "CyclicLR"):
        assert len({which for _, which in seen}) > 1


@members
def test_a_scheduler_and_its_optimizer_resume_together(member: Member) -> None:
    (start,) = parameters(torch.float32, [(20,)])
    grads = gradients([start], STEPS)

    def build(param: torch.Tensor) -> tuple[Any, Any]:
        optimizer = member([param], lr=2e-3)
        return optimizer, torchs.OneCycleLR(optimizer, max_lr=0.01, total_steps=30)

    def advance(param: torch.Tensor, pair: tuple[Any, Any], steps: Any) -> None:
        for step in steps:
            give([param], step)
            pair[0].step()
            pair[1].step()

    whole = start.detach().clone().requires_grad_()
    advance(whole, build(whole), grads)
    halved = start.detach().clone().requires_grad_()
    first = build(halved)
    advance(halved, first, grads[:9])
    second = build(halved)
    for new, old in zip(second, first, strict=True):
        new.load_state_dict(old.state_dict())
    advance(halved, second, grads[9:])
    assert torch.equal(whole, halved)
