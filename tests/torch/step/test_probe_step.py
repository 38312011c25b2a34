"""A first step that can teach nothing is not counted: torch takes it to see the state."""

from __future__ import annotations

import pytest
import torch
from tests.torch.cases import (
    EAGER,
    Member,
    Options,
    bits_of,
    drive,
    gradients,
    parameters,
    paths,
    same_bits,
    settings_and_paths,
    twins,
)
from torch import Tensor
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

from mementum.torch import AdaX, FamilyOptimizer


def rehearse(optimizer: FamilyOptimizer, params: list[Tensor]) -> None:
    """Take the step of `torch.distributed.checkpoint`: no gradient, and no lr."""
    before = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        is_tensor = isinstance(group["lr"], Tensor)
        group["lr"] = torch.tensor(0.0) if is_tensor else 0.0
    drive(optimizer, params, [[torch.zeros_like(param) for param in params]])
    for group, lr in zip(optimizer.param_groups, before, strict=True):
        group["lr"] = lr


@settings_and_paths()
def test_a_rehearsal_changes_nothing_and_begins_the_state(
    member: Member, options: Options, flags: Options
) -> None:
    params = parameters()
    optimizer, other = member(params, **flags, **options), twins(params)
    single = member(other, **flags, **options)
    rehearse(optimizer, params)
    assert same_bits(params, other)
    assert all(
        not torch.as_tensor(v).any()
        for s in optimizer.state.values()
        for v in s.values()
    )
    assert set(optimizer.state) == set(params)
    steps = gradients(params, 2)
    drive(optimizer, params, steps)
    drive(single, other, steps)
    assert same_bits(bits_of(optimizer), bits_of(single))


@paths(EAGER)
def test_numbers_that_no_step_should_touch_keep_their_bits(flags: Options) -> None:
    values = [0.0, -0.0, float("inf"), -float("inf"), 1e-45, 3e38]
    param = torch.tensor(values, requires_grad=True)
    optimizer = AdaX([param], eps=0.0, weight_decay=0.5, **flags)
    rehearse(optimizer, [param])
    assert same_bits(param, torch.tensor(values))


def test_the_real_one_changes_nothing() -> None:
    model = torch.nn.Linear(3, 2).to(torch.bfloat16)
    before = twins(model.parameters())
    optimizer = AdaX(model.parameters(), lr=torch.tensor(0.1), stochastic_rounding=True)
    state = get_optimizer_state_dict(model, optimizer)
    assert [kept["step"] for kept in state["state"].values()] == [0, 0]
    assert same_bits(list(model.parameters()), before)


@pytest.mark.parametrize(
    ("lr", "grad"),
    [(0.0, 1.0), (0.1, 0.0), (0.0, float("nan"))],
    ids=["a warm-up's first", "no gradient yet", "a bad gradient"],
)
def test_a_first_step_that_is_none_is_counted(lr: float, grad: float) -> None:
    param = torch.ones(3, requires_grad=True)
    optimizer = AdaX([param], lr=lr)
    drive(optimizer, [param], [[torch.tensor([0.0, 0.0, grad])]])
    assert optimizer.state[param]["step"] == 1


def test_one_group_with_a_rate_is_enough_to_count() -> None:
    params = parameters(shapes=((2,), (3,)))
    groups = [{"params": [params[0]], "lr": 0.0}, {"params": [params[1]], "lr": 0.1}]
    optimizer = AdaX(groups)
    drive(optimizer, params, [[torch.zeros_like(param) for param in params]])
    assert [optimizer.state[param]["step"] for param in params] == [1, 1]


@settings_and_paths(EAGER)
def test_later_steps_without_rate_count_and_leave_the_parameters(
    member: Member, options: Options, flags: Options
) -> None:
    params = parameters()
    optimizer = member(params, **flags, **options)
    drive(optimizer, params, gradients(params, 1))
    before = twins(params)
    rehearse(optimizer, params)
    assert same_bits(params, before)
    assert {kept["step"] for kept in optimizer.state.values()} == {2}
