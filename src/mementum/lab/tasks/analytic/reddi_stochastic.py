"""Reddi's stochastic counterexample, rescaled so that it decides within seconds."""

from __future__ import annotations

import torch

from mementum.lab.records.run import CONSTANT, STACKED
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 800
_WALKERS = 256
LARGE = 20.0
DRIFT = 0.5


class Stochastic:
    """256 scalars, each trained on slopes of its own.

    A slope is 20 with probability 1.5 / 21 and -1 else: 0.5 on average, so the right
    way is down. An optimizer that forgets the rare large slope too soon walks up.
    """

    def __init__(self, seed: int, steps: int = _STEPS) -> None:
        self.position = torch.nn.Parameter(torch.zeros(_WALKERS))
        chance = (1 + DRIFT) / (LARGE + 1)
        drawn = stream(seed, "reddi-stochastic/slopes").random((steps, _WALKERS))
        self.large = torch.from_numpy(drawn < chance)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.position]

    def loss(self, step: int) -> torch.Tensor:
        """Return the sum of all walkers' losses at this step."""
        return self.value(*self.batch_at(step))

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the slopes at a step, or at several."""
        return (torch.where(self.large[steps], LARGE, -1.0),)

    def value(self, slopes: torch.Tensor) -> torch.Tensor:
        """Return the sum of all walkers' losses on these slopes."""
        return slopes.dot(self.position)

    def evaluate(self) -> tuple[float, float]:
        """Return the mean expected loss, and the share of walkers above their start."""
        here = self.position.detach().double()
        objective = DRIFT * float(here.mean())
        if not bool(here.isfinite().all()):
            return objective, float("nan")
        return objective, float((here > 0).double().mean())


def _fingerprint() -> str:
    """Return the sha256 of the numbers that make the problem."""
    return digest(f"{_WALKERS} {LARGE} {DRIFT}")


STOCHASTIC = entry(
    "reddi-stochastic",
    "Reddi's stochastic counterexample, rescaled, 256 walkers",
    "share of walkers above their start",
    start=Stochastic,
    usual_schedule=CONSTANT,
    data=_fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 10, 0.01),
        Tier.SMOKE: Size(80, 2, 0.003),
        Tier.STANDARD: Size(8_000, 20, 0.1),
    },
    scale="linear",
    margin=0.05,
    form=STACKED,
)
