"""What a problem draws from its random streams: initial values and data order."""

from __future__ import annotations

import itertools

import numpy as np
import torch


def uniform(
    generator: np.random.Generator, *shape: int, fan_in: int | None = None
) -> torch.nn.Parameter:
    """Return a parameter drawn evenly within ``1 / sqrt(fan_in)`` of zero.

    ``fan_in`` is the last dimension unless told: torch's own default for linear maps.
    """
    bound = (fan_in or shape[-1]) ** -0.5
    values = generator.uniform(-bound, bound, shape)
    return torch.nn.Parameter(torch.tensor(values, dtype=torch.float32))


def maps(
    generator: np.random.Generator, *widths: int
) -> list[tuple[torch.nn.Parameter, torch.nn.Parameter]]:
    """Return the weight and bias of linear maps from each width to the next."""
    return [
        (uniform(generator, after, before), uniform(generator, after, fan_in=before))
        for before, after in itertools.pairwise(widths)
    ]


def normal(
    generator: np.random.Generator, *shape: int, scale: float
) -> torch.nn.Parameter:
    """Return a parameter drawn from the normal distribution with this deviation."""
    values = scale * generator.standard_normal(shape)
    return torch.nn.Parameter(torch.tensor(values, dtype=torch.float32))


def batches(
    generator: np.random.Generator, rows: int, steps: int, size: int
) -> torch.Tensor:
    """Return the row numbers of every batch, shape (steps, size).

    All rows are shuffled, dealt out, and shuffled again. A batch may straddle two
    rounds, so every step has the full size.
    """
    rounds = -(-steps * size // rows)
    order = np.concatenate([generator.permutation(rows) for _ in range(rounds)])
    return torch.tensor(order[: steps * size].reshape(steps, size))
