"""Reading a state dict is a function of data: no optimizer, and nothing is changed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    Member,
    bits_of,
    gradients,
    kinds,
    parameters,
    run,
    same_bits,
    twins,
)

from mementum.torch.checkpoint.state_dict import resolve

SHAPES = [(3,), (2, 2)]


def written(member: Member) -> tuple[Any, list[Any]]:
    """Return a state dict after three steps, and the bits it was made of."""
    start = parameters(shapes=SHAPES)
    _, optimizer = run(member, start, gradients(start, 3))
    return optimizer.state_dict(), bits_of(optimizer)


def groups_of(params: list[torch.Tensor]) -> list[dict[str, Any]]:
    """Return what it takes of an optimizer: its parameters and its storage."""
    return [{"params": params, "state_dtype": None}]


@kinds
def test_groups_and_state_come_of_a_recipe_and_groups_alone(member: Member) -> None:
    state_dict, bits = written(member)
    own = twins(parameters(shapes=SHAPES))
    groups, state = resolve(member.recipe, groups_of(own), state_dict)
    assert groups[0]["params"] is own
    assert groups[0]["lr"] == member.recipe.lr
    assert list(state) == own
    read = [
        value
        for param in own
        for name, moment in sorted(state[param].items())
        for value in (name, moment)
    ]
    written_bits = [value for value in bits if not _is_parameter(value, bits)]
    assert same_bits(read, written_bits)
    moments = {id(m) for entry in state_dict["state"].values() for m in entry.values()}
    assert not moments & {id(m) for param in own for m in (state[param]["momentum"],)}


def _is_parameter(value: Any, bits: list[Any]) -> bool:
    """Whether a value is a parameter's own, which no name precedes."""
    place = next(i for i, each in enumerate(bits) if each is value)
    return isinstance(value, torch.Tensor) and (
        place == 0 or not isinstance(bits[place - 1], str)
    )


@kinds
@pytest.mark.parametrize("fits", [True, False], ids=["read", "refused"])
def test_nothing_that_is_read_is_changed(member: Member, fits: bool) -> None:
    state_dict, _ = written(member)
    own = groups_of(twins(parameters(shapes=SHAPES)))
    if not fits:
        state_dict["state"][1]["square"] = torch.full((2, 2), -1.0)
    before = deepcopy((state_dict, own))
    if fits:
        resolve(member.recipe, own, state_dict)
    else:
        with pytest.raises(ValueError, match="below zero"):
            resolve(member.recipe, own, state_dict)
    assert same_bits(_flat((state_dict, own)), _flat(before))


def _flat(value: Any) -> list[Any]:
    """Return the keys and values of nested dicts and lists, in a row."""
    if isinstance(value, dict):
        return [each for key in value for each in (key, *_flat(value[key]))]
    if isinstance(value, list | tuple):
        return [each for item in value for each in _flat(item)]
    return [value]
