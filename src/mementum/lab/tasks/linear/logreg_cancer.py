"""Logistic regression on scikit-learn's breast cancer data, with its exact optimum."""

from __future__ import annotations

import functools

import torch
from torch.nn.functional import softplus

from mementum.lab.records.run import STACKED
from mementum.lab.tasks.sampling import batches
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 1000
_BATCH = 32
_RESOLUTION = 1e-12


@functools.cache
def table() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the standardised features (569, 30) and labels of -1 and 1, float64."""
    from sklearn.datasets import load_breast_cancer

    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return torch.from_numpy(features.copy()), torch.from_numpy(2.0 * labels - 1.0)


def objective(
    weight: torch.Tensor,
    bias: torch.Tensor,
    features: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    """Return the mean logistic loss plus ``|weight|^2 / 2n``, n = 569.

    The penalty is scikit-learn's default (C = 1) divided by the number of rows.
    """
    penalty = weight.dot(weight) / (2 * len(table()[1]))
    return softplus(-labels * (features @ weight + bias)).mean() + penalty


@functools.cache
def optimum() -> float:
    """Return the least value of the objective, by Newton's method in float64."""
    features, labels = table()
    rows, columns = features.shape
    augmented = torch.cat([features, torch.ones(rows, 1, dtype=torch.float64)], dim=1)
    ridge = torch.full((columns + 1,), 1 / rows, dtype=torch.float64)
    ridge[-1] = 0.0
    point = torch.zeros(columns + 1, dtype=torch.float64)
    for _ in range(50):
        wrong = torch.sigmoid(-labels * (augmented @ point))
        slope = -augmented.T @ (labels * wrong) / rows + ridge * point
        if float(slope.norm()) < _RESOLUTION:
            break
        curvature = (augmented.T * (wrong * (1 - wrong))) @ augmented / rows
        point = point - torch.linalg.solve(curvature + ridge.diag(), slope)
    else:
        raise ArithmeticError("Newton's method did not reach the logistic optimum")
    return float(objective(point[:-1], point[-1], features, labels))


class _Logistic:
    """The regression from zero weights, batches drawn by shuffling again and again."""

    def __init__(self, seed: int, steps: int = _STEPS) -> None:
        self.table = features, labels = table()
        self.weight = torch.nn.Parameter(torch.zeros(features.shape[1]))
        self.bias = torch.nn.Parameter(torch.zeros(()))
        order = stream(seed, "logreg-cancer/order")
        self.batch = batches(order, len(labels), steps, _BATCH)
        self.features, self.labels = features.float(), labels.float()

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.weight, self.bias]

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        return self.value(*self.batch_at(step))

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the features and labels of a step, or of several."""
        rows = self.batch[steps]
        return self.features[rows], self.labels[rows]

    def value(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the objective on these rows."""
        return objective(self.weight, self.bias, features, labels)

    def evaluate(self) -> tuple[float, float]:
        """Return the objective on all rows, and its distance to the optimum.

        Distances below the precision of the optimum count as that precision.
        """
        point = self.weight.double(), self.bias.double()
        value = float(objective(*point, *self.table))
        gap = value - optimum()
        return value, max(gap, _RESOLUTION) if gap == gap else gap


def _fingerprint() -> str:
    """Return the sha256 of the data."""
    return digest(*table())


LOGREG = entry(
    "logreg-cancer",
    "Logistic regression on breast cancer, distance to the exact optimum",
    "objective above its minimum, nats",
    start=_Logistic,
    data=_fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 20, 0.06),
        Tier.SMOKE: Size(100, 2, 0.006),
        Tier.STANDARD: Size(10_000, 20, 0.6),
    },
    limit=1e3,
    form=STACKED,
)
