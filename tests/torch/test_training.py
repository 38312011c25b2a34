"""Training real networks, with what users put around an optimizer."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits
from tests.torch import rounding
from tests.torch.cases import (
    EAGER,
    Member,
    Options,
    bits_of,
    follow,
    kinds,
    members,
    paths,
    same_bits,
)
from torch import Tensor, nn


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images / 16), torch.from_numpy(labels)


def classifier(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    return net.to(dtype)


def epoch(
    net: nn.Module, optimizer: torch.optim.Optimizer, *, record: list[list[Tensor]]
) -> list[float]:
    """Train on batches of 128 in a fixed order; return the losses."""
    images, labels = digits()
    dtype = next(net.parameters()).dtype
    losses = []
    for batch in torch.arange(len(labels)).split(128):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images[batch].to(dtype)), labels[batch])
        loss.backward()
        record.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
        optimizer.step()
        losses.append(loss.item())
    return losses


@members
@paths(EAGER)
def test_a_network_follows_its_reference_trajectory(
    member: Member, flags: Options
) -> None:
    net = classifier(torch.float64)
    start = [p.detach().clone() for p in net.parameters()]
    optimizer = member(net.parameters(), lr=2e-3, **flags)
    record: list[list[Tensor]] = []
    losses = [loss for _ in range(4) for loss in epoch(net, optimizer, record=record)]
    assert losses[-1] < losses[0]
    for i, param in enumerate(net.parameters()):
        own = [step[i] for step in record]
        expected = follow(member, start[i], own, lr=2e-3)
        # Bit for bit: both round the same operations in the same order.
        assert np.array_equal(param.detach().numpy(), expected.p)


@members
def test_a_float32_network_stays_within_its_roundings(member: Member) -> None:
    net = classifier(torch.float32)
    start = [p.detach().clone() for p in net.parameters()]
    optimizer = member(net.parameters(), lr=2e-3, eps=1e-6)
    record: list[list[Tensor]] = []
    for _ in range(2):
        epoch(net, optimizer, record=record)
    for i, param in enumerate(net.parameters()):
        own = [step[i] for step in record]
        expected, errors = rounding.follow(member, start[i], own, lr=2e-3, eps=1e-6)
        # Squares below the smallest float32 are lost, and the analysis has no term
        # for that; a gradient of zero, as dead pixels have, is exact again.
        size = np.array([abs(g.numpy()) for g in own])
        seen = np.all((size == 0) | (size > 1e-15), axis=0)
        found = rounding.state_of(optimizer, param)
        assert seen.any()
        rounding.assert_within(
            *(
                rounding.State(*(part[seen] for part in state))
                for state in (found, expected, errors)
            )
        )


@kinds
def test_a_grad_scaler_skips_what_overflowed(member: Member) -> None:
    net = classifier(torch.float32)
    optimizer = member(net.parameters(), lr=2e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    images, labels = digits()

    def backward() -> None:
        optimizer.zero_grad()
        output = net(images[:64].float())
        loss = nn.functional.cross_entropy(output, labels[:64])
        scaler.scale(loss).backward()

    backward()
    scaler.step(optimizer)
    scaler.update()
    before = bits_of(optimizer)
    backward()
    first = next(net.parameters())
    assert first.grad is not None
    first.grad[3, 3] = float("inf")
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**9
    assert same_bits(bits_of(optimizer), before)
    backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    assert {int(kept["step"]) for kept in optimizer.state.values()} == {2}


@kinds
def test_scaled_gradients_train_as_plain_ones(member: Member) -> None:
    # A power of two scales every gradient exactly.
    images, labels = digits()
    ends = []
    for scale in (1.0, 2.0**12):
        net = classifier(torch.float64)
        optimizer = member(net.parameters(), lr=2e-3)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        for batch in torch.arange(512).split(64):
            optimizer.zero_grad()
            output = net(images[batch])
            loss = nn.functional.cross_entropy(output, labels[batch])
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        ends.append([p.detach() for p in net.parameters()])
    assert same_bits(ends[0], ends[1])


@kinds
def test_autocast_reaches_no_step(member: Member) -> None:
    ends = []
    for enabled in (False, True):
        net = classifier(torch.float32)
        optimizer = member(net.parameters())
        for param in net.parameters():
            param.grad = torch.full_like(param, 0.3)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            optimizer.step()
        ends.append(bits_of(optimizer))
    assert same_bits(ends[0], ends[1])


@kinds
def test_lazy_layers_can_be_listed_before_they_have_a_shape(member: Member) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.LazyLinear(3)
    optimizer = member(layer.parameters())
    layer(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    assert optimizer.state[layer.weight]["momentum"].shape == (3, 4)


@kinds
def test_steps_from_a_backward_hook(member: Member) -> None:
    # The recipe that frees each gradient as soon as it is used.
    net, other = classifier(torch.float32), classifier(torch.float32)
    optimizers = {p: member([p]) for p in net.parameters()}

    def step(param: Tensor) -> None:
        optimizers[param].step()
        optimizers[param].zero_grad()

    for param in net.parameters():
        param.register_post_accumulate_grad_hook(step)
    whole = member(other.parameters())
    images, labels = digits()
    for _ in range(3):
        for each in (net, other):
            output = each(images[:32].float())
            nn.functional.cross_entropy(output, labels[:32]).backward()
        whole.step()
        whole.zero_grad()
    assert same_bits(list(net.parameters()), list(other.parameters()))
