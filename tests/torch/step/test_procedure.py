"""A step is a function of groups, rules and state; a graph holds no optimizer."""

from __future__ import annotations

import gc
from collections import defaultdict
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    PATHS,
    Grads,
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

from mementum.torch import AdaX
from mementum.torch.groups.options import COUNTS, EXECUTION
from mementum.torch.state import State
from mementum.torch.step import compiled
from mementum.torch.step.bucketing import BucketCache, GroupStep
from mementum.torch.step.coefficients import namespace
from mementum.torch.step.procedure import take_step
from mementum.torch.step.rule_cache import RuleCache


class Data:
    """What an optimizer is to a step: one group, its state, and two caches."""

    def __init__(self, member: Member, params: list[torch.Tensor], **flags: Any):
        lr = {"lr": member.recipe.lr, **dict.fromkeys(COUNTS, 0)}
        defaults = {**EXECUTION, **member.recipe.defaults, **lr}
        self.param_groups = [{**defaults, **flags, "params": params}]
        self.state: State = defaultdict(dict)
        self.rules = RuleCache(member.recipe, differentiable=False)
        self.buckets = BucketCache()

    @torch.no_grad()
    def step(self, *, found_inf: torch.Tensor | None = None) -> None:
        (group,) = self.param_groups
        rule = self.rules.rule(0, self.param_groups, namespace(group))
        steps = [GroupStep.build(group, rule, 0)]
        take_step(
            steps, self.buckets, self.state, None, found_inf, names={}, optimizer="X"
        )


def walk(data: Any, params: list[torch.Tensor], grads: list[Grads]) -> list[Any]:
    for each in grads:
        give(params, each)
        data.step()
    return bits_of(data)


@kinds
@paths()
def test_a_step_is_the_optimizers_without_an_optimizer(
    member: Member, flags: Options
) -> None:
    start = parameters()
    grads = gradients(start, 4)
    params = twins(start)
    found = walk(Data(member, params, **flags), params, grads)
    assert same_bits(found, bits_of(run(member, start, grads, **flags)[1]))


@pytest.mark.parametrize("path", ["default", "capturable default"])
def test_a_step_that_is_skipped_is_counted_where_it_is_known(path: str) -> None:
    start = parameters()
    (grads,) = gradients(start, 1)
    params = twins(start)
    data = Data(AdaX, params, **PATHS[path])
    give(params, grads)
    data.step(found_inf=torch.ones(()))
    (group,) = data.param_groups
    assert isinstance(group["skipped_steps"], torch.Tensor) == group["capturable"]
    assert int(group["skipped_steps"]) == 1
    assert int(group["clipped_steps"]) == 0
    assert all(map(torch.equal, params, start))
    assert not any(int(entry["step"]) for entry in data.state.values())


def test_a_graph_keeps_no_optimizer_alive() -> None:
    optimizer = AdaX(parameters(shapes=[(2,)]))
    number = compiled.register(optimizer._step_in_graph)
    assert number in compiled._steps
    del optimizer
    gc.collect()
    assert number not in compiled._steps
