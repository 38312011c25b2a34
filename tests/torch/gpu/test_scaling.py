"""A GradScaler's overflow is a step that never was, wherever its verdict is read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.torch.cases import Options, bits_of, parameters
from tests.torch.gpu.comparison import (
    FORMATS,
    agrees,
    asked,
    constructed,
    draws,
    placed,
)
from torch import Tensor

from mementum.torch import AMSGrad

SHAPES = ((5,), (17, 257))
# torch scales no gradients of float16.
SCALED = [name for name, (dtype, _) in FORMATS.items() if dtype != torch.float16]
STEPS, BAD = 6, (1, 4)
FLAGS: dict[str, Options] = {
    "host": {},
    "capturable": {"capturable": True},
    "clipped": {"clip_norm": 1.0},
    "both": {"capturable": True, "clip_norm": 1.0},
}


def finite(grads: list[Tensor]) -> list[Tensor]:
    """Return gradients that a power of two scales and unscales exactly."""
    # No product with a scale is beyond the range, or below the normal numbers.
    return [grad.nan_to_num(0.0, 1.0, -1.0).clamp(-4, 4) for grad in grads]


@pytest.mark.parametrize("unscales", [False, True], ids=["scaled", "unscaled"])
@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
@pytest.mark.parametrize("form", SCALED)
def test_an_overflow_skips_the_step_and_nothing_else(
    form: str, flags: Options, unscales: bool, device: torch.device
) -> None:
    """`unscaled`: whoever clips unscales before, and the step sees the verdict alone."""
    dtype, options = FORMATS[form]
    start = parameters(dtype, SHAPES)
    both: list[Any] = []
    for scaled in (False, True):
        params = placed(start, device)
        optimizer = constructed(AMSGrad, params, **options, **flags, **asked(device))
        scaler = torch.amp.GradScaler(device.type, init_scale=2.0**8, enabled=scaled)
        for t, grads in enumerate(draws(start, STEPS)):
            if not scaled and t in BAD:
                continue
            optimizer.zero_grad()
            there = [grad.to(device) for grad in finite(grads)]
            scaler.scale(_loss(params, there)).backward()
            if t in BAD:
                # As an overflow leaves it.
                assert params[1].grad is not None
                params[1].grad.view(-1)[300] = float("inf")
            if scaled and unscales:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        both.append(bits_of(optimizer))
        if scaled:
            assert optimizer.skipped_steps in (0, len(BAD))
    assert agrees(*both)


def _loss(params: list[Tensor], grads: list[Tensor]) -> Tensor:
    """Return what has these gradients."""
    products = [
        (p.float() * g.float()).sum() for p, g in zip(params, grads, strict=True)
    ]
    return torch.stack(products).sum()


@pytest.mark.parametrize("capturable", [False, True])
def test_mixed_precision_trains(capturable: bool, device: torch.device) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4)
    ).to(device)
    inputs, targets = torch.randn(64, 32), torch.randn(64, 4)
    inputs, targets = inputs.to(device), targets.to(device)
    half = torch.bfloat16 if device.type == "cpu" else torch.float16
    params = list(model.parameters())
    optimizer = AMSGrad(params, lr=0.01, capturable=capturable, **asked(device))
    scaler = torch.amp.GradScaler(device.type)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=half):
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(bool(param.isfinite().all()) for param in params)
    assert {optimizer.state[p]["square"].dtype for p in params} == {torch.float32}
