"""A GradScaler's verdict and scale, on every path; the gradients stay as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.torch.cases import (
    CAPTURABLE,
    EAGER,
    Member,
    Options,
    bits_of,
    give,
    gradients,
    kinds,
    parameters,
    paths,
    run,
    same_bits,
    twins,
)
from tests.torch.step.test_capturable import NothingIsRead
from torch import Tensor

from mementum.torch import AdamW, AdaX

inf = float("inf")
SCALE = 2.0**12


def scaled_step(optimizer: Any, scale: Any, found_inf: Any = None) -> None:
    """Step as a GradScaler does with an optimizer that unscales by itself."""
    optimizer.grad_scale, optimizer.found_inf = scale, found_inf
    optimizer.step()
    del optimizer.grad_scale, optimizer.found_inf


@kinds
@paths()
def test_unscaling_in_the_step_is_unscaling_before_it(
    member: Member, flags: Options
) -> None:
    start = parameters()
    grads = gradients(start, 4)
    expected, _ = run(member, start, grads, **flags)
    params = twins(start)
    optimizer = member(params, **flags)
    for step in grads:
        give(params, [grad * SCALE for grad in step])
        held = [(p.grad, p.grad.clone()) for p in params]
        scaled_step(optimizer, torch.tensor(SCALE), torch.zeros(()))
        for param, (same, copy) in zip(params, held, strict=True):
            assert param.grad is same
            assert same_bits(same, copy)
    assert same_bits(params, expected)


@kinds
@paths()
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_step_with_an_infinity_never_was(
    member: Member, flags: Options, first: bool
) -> None:
    start = parameters()
    grads = gradients(start, 4)
    bad = [torch.full_like(grad, inf) for grad in grads[0]]
    expected, _ = run(member, start, grads, **flags)
    params = twins(start)
    optimizer = member(params, **flags)
    for i, step in enumerate(grads):
        if i == (0 if first else 2):
            for spoiled in (bad, step):
                give(params, spoiled)
                scaled_step(optimizer, torch.tensor(SCALE), torch.ones(()))
        give(params, step)
        scaled_step(optimizer, None, torch.zeros(()))
    torch.testing.assert_close(params, expected, rtol=0, atol=0)
    assert optimizer.skipped_steps == 2
    assert {int(optimizer.state[p]["step"]) for p in params} == {4}


@kinds
@paths(CAPTURABLE)
def test_a_captured_step_asks_for_no_verdict(member: Member, flags: Options) -> None:
    start = parameters()
    params, optimizer = run(member, start, gradients(start, 1), clip_norm=0.5, **flags)
    before = bits_of(optimizer)
    give(params, [torch.full_like(p, inf) for p in params])
    scale, verdict = torch.tensor(SCALE), torch.ones(())
    with NothingIsRead():
        scaled_step(optimizer, scale, verdict)
    assert all(torch.equal(a, b) for a, b in _tensors(before, bits_of(optimizer)))
    assert (optimizer.skipped_steps, optimizer.clipped_steps) == (1, 1)


def _tensors(before: list[Any], after: list[Any]) -> list[tuple[Tensor, Tensor]]:
    pairs = list(zip(before, after, strict=True))
    return [(a, b) for a, b in pairs if isinstance(a, Tensor)]


@kinds
@paths()
def test_the_norm_is_that_of_unscaled_gradients(member: Member, flags: Options) -> None:
    start = parameters()
    grads = gradients(start, 3)
    expected, plain = run(member, start, grads, clip_norm=0.5, **flags)
    params = twins(start)
    optimizer = member(params, clip_norm=0.5, **flags)
    for step in grads:
        give(params, [grad * SCALE for grad in step])
        scaled_step(optimizer, torch.tensor(SCALE))
    assert same_bits(params, expected)
    assert optimizer.gradient_norm == plain.gradient_norm
    assert optimizer.clipped_steps == plain.clipped_steps > 0


def train(
    member: Member,
    flags: Options,
    *,
    scaler: torch.amp.GradScaler | None,
    clip: bool = False,
    overflow_at: tuple[int, ...] = (),
) -> tuple[list[Tensor], Any]:
    """Train a small model on fixed data, and return its parameters."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    optimizer = member(model.parameters(), lr=0.01, **flags)
    inputs = torch.linspace(-1, 1, 20).reshape(5, 4)
    for step in range(8):
        optimizer.zero_grad()
        loss = model(inputs).square().sum()
        if step in overflow_at:
            if scaler is None:
                continue
            loss = loss * inf
        if scaler is None:
            loss.backward()
        else:
            scaler.scale(loss).backward()
        if clip:
            if scaler is not None:
                scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
    return [p.detach() for p in model.parameters()], optimizer


def a_scaler() -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=SCALE, growth_interval=3)


@kinds
@paths()
@pytest.mark.parametrize("clip", [False, True], ids=["", "clipped"])
def test_training_with_a_scaler_is_training_without(
    member: Member, flags: Options, clip: bool
) -> None:
    bad = (0, 4)
    plain, _ = train(member, flags, scaler=None, clip=clip, overflow_at=bad)
    scaler = a_scaler()
    scaled, _ = train(member, flags, scaler=scaler, clip=clip, overflow_at=bad)
    torch.testing.assert_close(scaled, plain, rtol=0, atol=0)
    # Halved twice; doubled after steps 3 and 7.
    assert scaler.get_scale() == SCALE


@kinds
@paths(EAGER)
@pytest.mark.parametrize("policy", ["skip", "raise"])
def test_a_scaler_and_a_policy_go_together(
    member: Member, flags: Options, policy: str
) -> None:
    options = {**flags, "nonfinite": policy}
    plain, _ = train(member, flags, scaler=None, overflow_at=(2,))
    scaled, _ = train(member, options, scaler=a_scaler(), overflow_at=(2,))
    assert same_bits(scaled, plain)


@kinds
@paths(CAPTURABLE)
def test_a_captured_step_leaves_the_scaler_to_nobody(
    member: Member, flags: Options
) -> None:
    _, optimizer = train(member, flags, scaler=a_scaler(), overflow_at=(0, 4))
    assert optimizer._step_supports_amp_scaling
    assert optimizer.skipped_steps == 2


def test_one_scaler_serves_several_optimizers() -> None:
    scaler = a_scaler()
    models = [torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)]
    optimizers = [
        AdaX(models[0].parameters(), capturable=True),
        AdamW(models[1].parameters()),
    ]
    before = [p.detach().clone() for model in models for p in model.parameters()]
    scaler.scale(models[0](torch.ones(1, 2)).sum() * inf).backward()
    scaler.scale(models[1](torch.ones(1, 2)).sum()).backward()
    for optimizer in optimizers:
        scaler.step(optimizer)
    scaler.update()
    after = [p.detach() for model in models for p in model.parameters()]
    assert same_bits(after[:2], before[:2])
    assert not same_bits(after[2:], before[2:])
    assert scaler.get_scale() == SCALE / 2


@kinds
def test_a_scale_that_the_user_has_set_is_divided_out(member: Member) -> None:
    start = parameters()
    grads = gradients(start, 2)
    expected, _ = run(member, start, grads)
    params = twins(start)
    optimizer = member(params)
    optimizer.grad_scale = 4.0
    for step in grads:
        give(params, [grad * 4 for grad in step])
        optimizer.step()
    assert same_bits(params, expected)
