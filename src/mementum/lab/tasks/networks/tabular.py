"""Regression on tables: Friedman's function with known noise, and diabetes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch.nn.functional import linear, mse_loss

from mementum.lab.records.run import STACKED
from mementum.lab.tasks.sampling import batches, maps
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 300
_BATCH = 64
_WIDTH = 32
_ROWS = 2000

_Table = tuple[torch.Tensor, torch.Tensor, float]
"""Columns, targets, and the deviation of the noise in the targets' unit."""


@functools.cache
def friedman() -> _Table:
    """Return Friedman's first function of 5 of 10 columns, 2,000 rows.

    ``10 sin(pi a b) + 20 (c - 1/2)^2 + 10 d + 5 e`` plus noise of deviation 1, brought
    to mean 0 and variance 1.
    """
    generator = stream(0, "tabular/friedman")
    columns = generator.random((_ROWS, 10))
    a, b, c, d, e = (torch.from_numpy(columns[:, place]) for place in range(5))
    clean = 10 * (math.pi * a * b).sin() + 20 * (c - 0.5).square() + 10 * d + 5 * e
    noisy = clean + torch.from_numpy(generator.standard_normal(_ROWS))
    scale = float(noisy.std())
    targets = ((noisy - noisy.mean()) / scale).float()
    return torch.from_numpy(columns).float() * 2 - 1, targets, 1 / scale


@functools.cache
def diabetes() -> _Table:
    """Return scikit-learn's diabetes data: 442 rows, 10 columns, unknown noise.

    The score is then in units of the targets' own deviation.
    """
    from sklearn.datasets import load_diabetes

    columns, targets = load_diabetes(return_X_y=True)
    columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    targets = (targets - targets.mean()) / targets.std()
    return torch.from_numpy(columns).float(), torch.from_numpy(targets).float(), 1.0


class _Tabular:
    """10-32-32-1 with ReLU; a fifth of the rows, drawn by the seed, is held out."""

    def __init__(
        self, seed: int, steps: int = _STEPS, *, table: Callable[[], _Table]
    ) -> None:
        columns, targets, self.noise = table()
        rows = stream(seed, "tabular/split").permutation(len(targets))
        held, kept = rows[: len(rows) // 5], torch.tensor(rows[len(rows) // 5 :])
        self.held = columns[held], targets[held]
        self.kept = columns[kept], targets[kept]
        order = stream(seed, "tabular/order")
        self.batch = batches(order, len(kept), steps, _BATCH)
        init = stream(seed, "tabular/init")
        self.layers = maps(init, 10, _WIDTH, _WIDTH, 1)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [tensor for layer in self.layers for tensor in layer]

    def error(self, columns: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error on these rows."""
        flow = columns
        for weight, bias in self.layers[:-1]:
            flow = linear(flow, weight, bias).relu()
        return mse_loss(linear(flow, *self.layers[-1])[:, 0], targets)

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        return self.value(*self.batch_at(step))

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the columns and targets of a step, or of several."""
        columns, targets = self.kept
        rows = self.batch[steps]
        return columns[rows], targets[rows]

    value = error

    def evaluate(self) -> tuple[float, float]:
        """Return the training error, and the held-out root error over the noise."""
        held = float(self.error(*self.held))
        return float(self.error(*self.kept)), held**0.5 / self.noise


def _fingerprint(table: Callable[[], _Table]) -> str:
    """Return the sha256 of a table."""
    return digest(*table()[:2])


TABULAR = entry(
    "tabular",
    "Perceptron 10-32-32-1 on Friedman's function",
    "validation error over the noise",
    start=functools.partial(_Tabular, table=friedman),
    data=functools.partial(_fingerprint, friedman),
    sizes={
        Tier.QUICK: Size(_STEPS, 10, 0.02),
        Tier.SMOKE: Size(50, 2, 0.004),
        Tier.STANDARD: Size(3000, 20, 0.2),
    },
    limit=1e6,
    form=STACKED,
)
DIABETES = entry(
    "tabular-diabetes",
    "Perceptron 10-32-32-1 on diabetes, 442 rows",
    "validation error, deviations of the target",
    start=functools.partial(_Tabular, steps=2000, table=diabetes),
    data=functools.partial(_fingerprint, diabetes),
    sizes={
        Tier.STANDARD: Size(2000, 20, 0.1),
    },
    limit=1e6,
    form=STACKED,
)
