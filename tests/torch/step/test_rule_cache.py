"""What groups say is worked out once a step, where they say the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, kinds

from mementum.family.rule import Rule


def groups_of(count: int, **options: Any) -> list[dict[str, Any]]:
    params = [torch.nn.Parameter(torch.ones(3)) for _ in range(count)]
    for param in params:
        param.grad = torch.ones(3)
    return [{"params": [param], **options} for param in params]


@kinds
def test_groups_that_agree_cost_one_rule_and_one_set_of_numbers(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()
    at, make = Rule.at, member.recipe.rule

    def counted_at(self: Rule, *arguments: Any) -> Any:
        calls["numbers"] += 1
        return at(self, *arguments)

    def counted_rule(*arguments: Any) -> Rule:
        calls["rules"] += 1
        return make(*arguments)

    monkeypatch.setattr(Rule, "at", counted_at)
    monkeypatch.setattr(type(member.recipe), "rule", lambda _, *a: counted_rule(*a))
    optimizer = member(groups_of(50))
    assert calls == {"rules": 1}
    for taken in range(1, 4):
        optimizer.step()
        assert calls == {"rules": 1, "numbers": taken}
    optimizer.param_groups[7]["lr"] = 0.5
    optimizer.step()
    assert calls == {"rules": 1, "numbers": 5}


@kinds
def test_a_group_that_says_something_else_is_heard(member: Member) -> None:
    optimizer = member(groups_of(3), lr=0.1)
    optimizer.step()
    optimizer.param_groups[1]["maximize"] = True
    before = [group["params"][0].detach().clone() for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["params"][0].grad.fill_(7.0)
    optimizer.step()
    moved = [
        float((group["params"][0].detach() - old)[0])
        for group, old in zip(optimizer.param_groups, before, strict=True)
    ]
    assert moved[0] == moved[2] < moved[1]
    optimizer.param_groups[2]["lr"] = -1
    with pytest.raises(ValueError, match=rf"^{member.__name__}: parameter group 2: lr"):
        optimizer.step()
