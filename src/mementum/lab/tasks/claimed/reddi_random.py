"""Reddi's stochastic counterexample, rescaled so that it separates in seconds."""

from __future__ import annotations

import functools

import torch

from mementum.lab.tasks.analytic.reddi_periodic import late_drift
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 5000
_TRAJECTORIES = 256
_LARGE = 20.0
MEAN = 0.5


class RandomSigns:
    """One scalar for each of 256 trajectories, each with gradients of its own.

    A gradient is 20 with probability 1.5 / 21 and -1 else: 0.5 on average, so the right
    way is down. The published problem has 1010 with probability 0.01 and -10 else,
    which takes some million steps. A trajectory is scored by where it ends or, if
    ``late``, by its drift since half of the evaluations: large rates and a small second
    moment carry the first few steps far.
    """

    def __init__(self, seed: int, *, late: bool = False) -> None:
        self.late = late
        self.visited: list[torch.Tensor] = []
        self.position = torch.nn.Parameter(torch.zeros(_TRAJECTORIES))
        draws = stream(seed, "reddi-random/gradients").random((_STEPS, _TRAJECTORIES))
        large = torch.from_numpy(draws < (1 + MEAN) / (_LARGE + 1))
        self.slopes = torch.where(large, _LARGE, -1.0)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.position]

    def loss(self, step: int) -> torch.Tensor:
        """Return the sum of all trajectories' losses at this step."""
        return torch.dot(self.slopes[step], self.position)

    def evaluate(self) -> tuple[float, float]:
        """Return the mean of the expected loss, and the share that goes wrong."""
        here = self.position.detach().double()
        drift = late_drift(self.visited, here)
        wrong = float(((drift if self.late else here) > 0).double().mean())
        return MEAN * float(here.mean()), wrong if here.isfinite().all() else torch.nan


def _fingerprint() -> str:
    """Return the sha256 of the numbers that make the problem."""
    return digest(f"{_TRAJECTORIES} {_LARGE} {MEAN}")


RANDOM = entry(
    "reddi-random",
    "Reddi's stochastic counterexample, 256 trajectories",
    "share of trajectories that end on the wrong side",
    start=RandomSigns,
    data=_fingerprint,
    sizes={Tier.QUICK: Size(_STEPS, 20, 0.8)},
    scale="linear",
    margin=0.05,
)


LATE = entry(
    "reddi-random-late",
    "Reddi's stochastic counterexample, 256 trajectories, by their late drift",
    "share of trajectories drifting the wrong way over the last half",
    start=functools.partial(RandomSigns, late=True),
    data=_fingerprint,
    sizes={Tier.QUICK: Size(_STEPS, 20, 0.8)},
    scale="linear",
    margin=0.05,
)
