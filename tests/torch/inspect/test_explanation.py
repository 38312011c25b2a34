"""What is said of an optimizer is a function of its groups, state and rules."""

from __future__ import annotations

from typing import Any

import torch
from tests.torch.cases import Member, gradients, kinds, parameters, run

import mementum
from mementum.torch.inspect import explanation, telemetry


@kinds
def test_an_explanation_wants_groups_and_rules_alone(member: Member) -> None:
    start = parameters(shapes=[(3,), (2, 2)])
    _, optimizer = run(member, start, gradients(start, 3))
    params = [torch.nn.Parameter(each.detach().clone()) for each in start]
    flags = {"foreach": None, "fused": None}
    group: dict[str, Any] = {
        **flags,
        "params": params,
        "lr": member.recipe.lr,
        "capturable": False,
        "differentiable": False,
        "state_dtype": None,
    }
    rule = member.recipe.rule(dict(member.recipe.defaults))
    new = explanation.describe(member.recipe, [group], {}, [rule])
    assert new == member(params).explain().strip()
    assert "0 steps taken" in new
    state = dict(zip(params, optimizer.state.values(), strict=True))
    trained = explanation.describe(
        member.recipe, [group], state, [rule], skipped_steps=2
    )
    assert "3 steps taken" in trained
    assert trained.endswith("Steps left out for a bad gradient: 2")


@kinds
def test_telemetry_wants_groups_state_rules_and_counts_alone(member: Member) -> None:
    start = parameters(torch.float64, [(3,), (2, 2)])
    params, optimizer = run(member, start, gradients(start, 3))
    counts = {"skipped_steps": 3, "clipped_steps": 4, "gradient_norm": 0.5}
    rule = member.recipe.rule(dict(member.recipe.defaults))
    groups = [{"params": params, "lr": member.recipe.lr}]
    found = telemetry.measure(groups, optimizer.state, [rule], **counts)
    assert found.groups == optimizer.telemetry().groups
    flat = found.flat()
    assert {name: flat[name] for name in counts} == counts


def test_a_device_without_its_kernel_is_said_to_cost() -> None:
    param = torch.nn.Parameter(torch.empty(3, device="meta"))
    said = mementum.AdamW([param]).explain()
    assert "run by foreach" in said
    assert "cost: a step of AdamW in float32 moves 140 bytes an element" in said
    assert (
        "not by triton: Triton runs on GPUs of NVIDIA, AMD and Intel, and not on meta"
        in said
    )
