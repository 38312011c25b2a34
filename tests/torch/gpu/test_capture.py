"""A captured step, replayed, is the step: rates, norms and counts are the device's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.torch.cases import Options, bits_of, parameters
from tests.torch.gpu.comparison import (
    FORMATS,
    RULES,
    agrees,
    asked,
    constructed,
    draws,
    placed,
    rules,
)
from torch import Tensor

STEPS, EAGER = 9, 3
SHAPES = ((5,), (17, 257), (1_030,))

FLAGS: dict[str, Options] = {
    "plain": {},
    "clipped": {"clip_norm": 0.5},
    "skipping": {"nonfinite": "skip"},
    "both": {"clip_norm": 0.5, "nonfinite": "skip"},
    "climbing": {"maximize": True},
}


def captured(step: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """Return what replays a step; the CPU, which has no graphs, takes it."""
    if device.type == "cpu":
        return step
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def trained(
    rule: str, form: str, flags: Options, device: torch.device, *, replayed: bool
) -> list[Any]:
    """Return the bits after steps with a scheduled rate and gradients in one place."""
    (member, options), (dtype, more) = RULES[rule], FORMATS[form]
    start = parameters(dtype, SHAPES)
    params = placed(start, device)
    rate = torch.tensor(0.01, device=device)
    flags = flags | {"capturable": True, "lr": rate}
    optimizer = constructed(member, params, **options, **more, **flags, **asked(device))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for param in params:
        param.grad = torch.zeros_like(param)
    take: Callable[[], Any] = optimizer.step
    bad = flags.get("nonfinite") == "skip"
    for t, grads in enumerate(draws(start, STEPS)):
        for param, grad in zip(params, grads, strict=True):
            assert param.grad is not None
            finite = grad.nan_to_num(0.0, 1.0, -1.0)
            param.grad.copy_(grad if bad and t % 4 == 2 else finite)
        if replayed and t == EAGER:
            take = captured(optimizer.step, device)
        take()
        scheduler.step()
    counts = [optimizer.skipped_steps, optimizer.clipped_steps]
    assert counts[0] == (2 if bad else 0)
    return [bits_of(optimizer), counts]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("form", FORMATS)
def test_replays_of_every_format_are_steps(
    form: str, flags: str, cuda: torch.device
) -> None:
    eager, replayed = (
        trained("AMSGrad", form, FLAGS[flags], cuda, replayed=replayed)
        for replayed in (False, True)
    )
    assert agrees(eager, replayed)


@rules
def test_replays_of_every_rule_are_steps(rule: str, cuda: torch.device) -> None:
    eager, replayed = (
        trained(rule, "float32", {}, cuda, replayed=replayed)
        for replayed in (False, True)
    )
    assert agrees(eager, replayed)


def test_two_graphs_of_one_optimizer_take_turns(cuda: torch.device) -> None:
    """Each has the addresses of gradients of its own."""
    start = parameters(shapes=SHAPES)
    ends = []
    for replayed in (False, True):
        params = placed(start, cuda)
        rate = torch.tensor(0.01, device=cuda)
        member, _ = RULES["AdamW"]
        optimizer = member(params, lr=rate, capturable=True, **asked(cuda))
        sets = [[torch.ones_like(p) * (i + 1) for p in params] for i in range(2)]
        turns = [_turn(optimizer, params, grads) for grads in sets]
        for turn in turns:
            turn()
        if replayed:
            turns = [captured(turn, cuda) for turn in turns]
        for _ in range(3):
            for turn in turns:
                turn()
        ends.append(bits_of(optimizer))
    assert agrees(*ends)


def _turn(
    optimizer: torch.optim.Optimizer, params: list[Tensor], grads: list[Tensor]
) -> Callable[[], None]:
    def turn() -> None:
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        optimizer.step()

    return turn
