"""A small problem that trainers are given."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mementum.torch import FamilyOptimizer

BATCHES, ROWS, WIDTH, CLASSES = 8, 4, 64, 64


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a network whose first matrix is large enough for float8 moments."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, 64), nn.Tanh(), nn.Linear(64, CLASSES)).to(
        dtype
    )


def rows() -> list[tuple[Tensor, Tensor]]:
    """Return inputs and classes, one pair a row."""
    generator = torch.Generator().manual_seed(1)
    count = BATCHES * ROWS
    inputs = torch.randn(count, WIDTH, generator=generator)
    classes = torch.randint(CLASSES, (count,), generator=generator)
    return list(zip(inputs, classes, strict=True))


def scheduled(optimizer: FamilyOptimizer) -> torch.optim.lr_scheduler.ExponentialLR:
    """Return a schedule that changes the rate at every step."""
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)


# The dtype of the model, and how the moments are kept and the parameters rounded.
FORMATS: dict[str, tuple[torch.dtype, dict[str, object]]] = {
    "float32": (torch.float32, {}),
    "bfloat16 state": (torch.float32, {"state_dtype": torch.bfloat16}),
    "float8 state": (torch.float32, {"state_dtype": "float8"}),
    "all bfloat16": (
        torch.bfloat16,
        {"state_dtype": torch.bfloat16, "stochastic_rounding": True},
    ),
}
