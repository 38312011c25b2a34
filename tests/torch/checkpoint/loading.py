"""Optimizers that save, and optimizers that refuse to load what was saved."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    Member,
    bits_of,
    drive,
    gradients,
    parameters,
    run,
    same_bits,
)

from mementum.torch import FamilyOptimizer

# How many steps the saved optimizers have taken, and the loading ones.
SAVED, LOADING = 5, 3


def trained(member: Member, steps: int = 3) -> FamilyOptimizer:
    start = parameters(shapes=[(4,), (2, 3)])
    return run(member, start, gradients(start, steps))[1]


def assert_refused(optimizer: FamilyOptimizer, state_dict: Any, *words: str) -> None:
    """See the state dict refused by the optimizer's name, with nothing changed."""
    state, params = optimizer.state, [g["params"] for g in optimizer.param_groups]
    kept = {key: dict(value) for key, value in state.items()}
    bits, groups = bits_of(optimizer), _groups(optimizer)
    name = type(optimizer).__name__
    with pytest.raises(
        (TypeError, ValueError, NotImplementedError), match=rf"^{name}: "
    ) as refusal:
        optimizer.load_state_dict(state_dict)
    message = str(refusal.value)
    assert [word for word in words if word not in message] == [], message
    assert optimizer.state is state
    assert all(kept[key][name] is v for key in kept for name, v in state[key].items())
    assert same_bits(bits_of(optimizer), bits)
    assert all(
        group["params"] is own
        for group, own in zip(optimizer.param_groups, params, strict=True)
    )
    assert _groups(optimizer) == groups


def _groups(optimizer: FamilyOptimizer) -> list[Any]:
    return deepcopy(
        [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    )


def plain(member: Member, steps: int, **options: Any) -> FamilyOptimizer:
    """Return an optimizer of two parameters without names."""
    start = parameters(shapes=[(4,), (2, 3)])
    return run(member, start, gradients(start, steps), **options)[1]


def named(member: Member, steps: int, **options: Any) -> FamilyOptimizer:
    """Return an optimizer of three named parameters in two groups."""
    params = parameters(shapes=[(4,), (2, 3), (4,)])
    a, b, c = zip("abc", params, strict=True)
    groups = [{"params": [a, b]}, {"params": [c], "weight_decay": 0.25}]
    optimizer = member(groups, **options)
    drive(optimizer, params, gradients(params, steps))
    return optimizer


def blocks(member: Member, steps: int, **options: Any) -> FamilyOptimizer:
    """Return an optimizer of a parameter whose moments are float8."""
    start = parameters(shapes=[(64, 64)])
    return run(member, start, gradients(start, steps), state_dtype="float8", **options)[
        1
    ]


def complex_(member: Member, steps: int, **options: Any) -> FamilyOptimizer:
    start = parameters(torch.complex64, [(4,), (2, 3)])
    return run(member, start, gradients(start, steps), **options)[1]


def three_in_one(member: Member, steps: int) -> FamilyOptimizer:
    """Return `named`'s parameters, in one group where they are loaded."""
    optimizer = named(member, steps)
    if steps == SAVED:
        return optimizer
    own = [pair for g in optimizer.param_groups for pair in _named_params(g)]
    return member(own)


def _named_params(group: dict[str, Any]) -> list[tuple[str, torch.Tensor]]:
    return list(zip(group["param_names"], group["params"], strict=True))
