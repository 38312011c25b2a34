"""A gradient that fades geometrically, and the step size an optimizer makes of it."""

from __future__ import annotations

import math

import torch

from mementum.lab.tasks.task import Size, Tier, digest, entry

_STEPS = 12_000
DECAY = 0.999


class Fading:
    """One scalar in float64 whose gradient at step t is 0.999**t, wherever it is.

    Without momentum the way gone in a step, divided by the gradient, is the step size
    that the second moment makes.
    """

    def __init__(self, seed: int) -> None:
        self.position = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.before = 0.0
        self.step = -1
        self.first = math.nan

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.position]

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss at this step."""
        self.look()
        self.before, self.step = self.position.item(), step
        return DECAY**step * self.position

    def look(self) -> float:
        """Return the last step's size over its gradient; keep the first."""
        way = abs(self.position.item() - self.before)
        size = way / DECAY ** max(self.step, 0)
        if self.step == 0:
            self.first = size
        return size

    def evaluate(self) -> tuple[float, float]:
        """Return the position, and the last step size as a multiple of the first."""
        if self.step < 0:
            return 0.0, 1.0
        size = self.look()
        return self.position.item(), size / self.first


def _fingerprint() -> str:
    """Return the sha256 of the numbers that make the problem."""
    return digest(f"{DECAY}")


FADING = entry(
    "fading-gradient",
    "One scalar whose gradient fades as 0.999**t",
    "last step size as a multiple of the first",
    start=Fading,
    data=_fingerprint,
    sizes={Tier.QUICK: Size(_STEPS, 20, 1.5)},
    deterministic=True,
)
