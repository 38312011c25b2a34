"""A compiled step on a device is the eager one, also where graphs are replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    step,
)

from mementum.torch import AMSGrad

# The CPU's tests leave the code that Inductor writes to others.
MODES: dict[str, Options] = {"default": {}, "reduced": {"mode": "reduce-overhead"}}
FLAGS: dict[str, Options] = {
    "host": {},
    "capturable": {"capturable": True},
    "clipped": {"clip_norm": 1.0, "nonfinite": "skip"},
}
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:UserWarning", "ignore:.*:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def a_fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled(
    function: Callable[..., Any], mode: str, device: torch.device
) -> Callable[..., Any]:
    """Return a function compiled in a mode, which the CPU's tests do not have."""
    if device.type == "cpu":
        return torch.compile(function, backend="aot_eager")
    return torch.compile(function, **MODES[mode])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("form", ["float32", "float32+bfloat16"])
def test_a_compiled_step_is_the_eager_one(
    form: str, flags: str, mode: str, device: torch.device
) -> None:
    dtype, options = FORMATS[form]
    start = parameters(dtype, [(5,), (17, 31)])
    ends = []
    for is_compiled in (False, True):
        params = placed(start, device)
        optimizer = constructed(
            AMSGrad, params, **options, **FLAGS[flags], **asked(device)
        )
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        if is_compiled:
            optimizer.step = compiled(optimizer.step, mode, device)  # type: ignore[method-assign]
        for grads in draws(start, 5):
            step(optimizer, params, grads)
            scheduler.step()
        ends.append(bits_of(optimizer))
    assert agrees(*ends)


@pytest.mark.parametrize("mode", MODES)
def test_a_compiled_model_is_trained(mode: str, device: torch.device) -> None:
    """The gradients of a replayed graph lie where the graph has put them."""
    torch.manual_seed(0)
    inputs, targets = torch.randn(64, 32), torch.randn(64, 4)
    inputs, targets = inputs.to(device), targets.to(device)
    model = torch.nn.Sequential(
        torch.nn.Linear(32, 64), torch.nn.Tanh(), torch.nn.Linear(64, 4)
    ).to(device)
    run = compiled(model, mode, device)
    optimizer = AMSGrad(model.parameters(), lr=0.01, **asked(device))
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.mse_loss(run(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
