"""A shallow trap on the slope of a wide basin: where an optimizer ends is the metric.

It stands in for the synthetic function of AdaX's section 3, whose text could not be
had. What is drawn is in the docstring of `Basins`; nothing of it is taken from a paper.
"""

from __future__ import annotations

import torch

from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 1000
_STARTS = 256
_NOISE = 1.0
GOAL = 4.0
EDGE = 2.0


class Basins:
    """256 scalars that start between -2 and -1 and go down a bowl with its floor at 4.

        f(x) = (x - 4)^2 / 32 - 0.4 exp(-(x / 0.35)^2 / 2)

    The trap at 0 is a local minimum, 0.09 above the floor, and every start comes from
    its far side. Gradients carry normal noise of deviation 1.
    """

    def __init__(self, seed: int) -> None:
        starts = stream(seed, "two-basins/start").uniform(-2.0, -1.0, _STARTS)
        noise = stream(seed, "two-basins/noise").standard_normal((_STEPS, _STARTS))
        self.position = torch.nn.Parameter(torch.tensor(starts, dtype=torch.float32))
        self.noise = _NOISE * torch.tensor(noise, dtype=torch.float32)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.position]

    def values(self) -> torch.Tensor:
        """Return the function's value at every position."""
        x = self.position
        return (x - GOAL).square() / 32 - 0.4 * (-(x / 0.35).square() / 2).exp()

    def loss(self, step: int) -> torch.Tensor:
        """Return a loss with the noisy gradient of this step."""
        return self.values().sum() + self.noise[step].dot(self.position)

    def evaluate(self) -> tuple[float, float]:
        """Return the mean value above the floor, and the share outside the basin."""
        values = self.values().detach()
        outside = (self.position.detach() < EDGE).double().mean()
        mean = float(values.mean())
        return mean, float(outside) if values.isfinite().all() else torch.nan


def _fingerprint() -> str:
    """Return the sha256 of the numbers that make the problem."""
    numbers = f"{_STARTS} {_NOISE} {GOAL} {EDGE} 32 0.35 0.4"
    return digest(numbers)


BASINS = entry(
    "two-basins",
    "A shallow trap before a wide basin, 256 starts",
    "share of starts that end outside the wide basin",
    start=Basins,
    data=_fingerprint,
    sizes={Tier.QUICK: Size(_STEPS, 20, 0.45)},
    limit=1e9,
    scale="linear",
    margin=0.05,
)
