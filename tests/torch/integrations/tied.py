"""A small model whose layers are tied, and what trains it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, Options
from torch import Tensor
from torch.nn import Module

from mementum.torch import FamilyOptimizer

FORMS: dict[str, Options] = {
    "default": {},
    "foreach": {"foreach": True},
    "loop": {"foreach": False, "fused": False},
    "capturable": {"capturable": True},
    "bfloat16": {"state_dtype": torch.bfloat16},
    "float8": {"state_dtype": "float8"},
    "maximize": {"maximize": True},
}
forms = pytest.mark.parametrize("flags", FORMS.values(), ids=FORMS.keys())


class Tied(Module):
    """A model whose first and last layer are one, with a layer of 4,096 elements."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(64, 64)
        self.norm = torch.nn.LayerNorm(64)
        self.last = torch.nn.Linear(64, 64, bias=False)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.norm(self.first(x))))


def built(kind: Callable[[], Module] = Tied) -> Module:
    torch.manual_seed(0)
    return kind()


def batches(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, 64, generator=generator) for _ in range(count)]


def loss_of(model: Module, batch: Tensor) -> Tensor:
    return (model(batch) - batch).square().mean()


def make(member: Member, **flags: Any) -> Callable[[Any], FamilyOptimizer]:
    return lambda params: member(params, lr=0.01, **flags)
