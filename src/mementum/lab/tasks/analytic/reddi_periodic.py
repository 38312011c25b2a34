"""The periodic problem on which Adam walks uphill (Reddi, Kale and Kumar, 2018)."""

from __future__ import annotations

import torch

from mementum.lab.records.run import CONSTANT, STACKED
from mementum.lab.tasks.task import Size, Tier, digest, entry

PERIOD = 101
LARGE = 1010.0
SMALL = -10.0


class Periodic:
    """One scalar for each phase of the period, each trained on its own sequence.

    The slope is 1010 once in 101 steps and -10 else, on average +10/101: the right way
    is down. The phase decides which gradient comes first, and with a falling step size
    this alone can decide the outcome; all phases together leave it no say.
    """

    def __init__(self, seed: int, steps: int = 100 * PERIOD) -> None:
        self.position = torch.nn.Parameter(torch.zeros(PERIOD))
        moment = torch.arange(PERIOD)
        large = (moment[:, None] + moment[None, :]) % PERIOD == 1
        self.slopes = torch.where(large, LARGE, SMALL)
        self.visited: list[torch.Tensor] = []

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.position]

    def loss(self, step: int) -> torch.Tensor:
        """Return the sum of all phases' losses at this step."""
        return self.value(*self.batch_at(step))

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the slopes at a step, or at several."""
        return (self.slopes[steps % PERIOD],)

    def value(self, slopes: torch.Tensor) -> torch.Tensor:
        """Return the sum of all phases' losses on these slopes."""
        return torch.dot(slopes, self.position)

    def evaluate(self) -> tuple[float, float]:
        """Return the mean loss over a period, and the share of phases drifting up.

        Drift is the way gone since half of the evaluations. They lie a whole number of
        periods apart, so the swing within a period cancels.
        """
        here = self.position.detach().double()
        drift = late_drift(self.visited, here)
        objective = float(here.mean() * self.slopes[0].double().mean())
        if not bool(here.isfinite().all()):
            return objective, float("nan")
        return objective, float((drift > 0).double().mean())


def late_drift(visited: list[torch.Tensor], here: torch.Tensor) -> torch.Tensor:
    """Add a position to those visited; return the way gone since half of them."""
    visited.append(here.clone())
    return here - visited[(len(visited) - 1) // 2]


def _fingerprint() -> str:
    """Return the sha256 of the numbers that make the problem."""
    return digest(f"{PERIOD} {LARGE} {SMALL}")


REDDI = entry(
    "reddi-periodic",
    "Reddi's periodic counterexample, all 101 phases",
    "share of phases drifting the wrong way over the last half",
    start=Periodic,
    usual_schedule=CONSTANT,
    data=_fingerprint,
    sizes={
        Tier.QUICK: Size(100 * PERIOD, 20, 0.5),
        Tier.SMOKE: Size(10 * PERIOD, 10, 0.05),
        Tier.STANDARD: Size(1000 * PERIOD, 20, 5),
    },
    deterministic=True,
    scale="linear",
    margin=0.05,
    form=STACKED,
)
