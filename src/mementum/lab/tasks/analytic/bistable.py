"""A shallow trap, a barrier, and behind it a wide basin: who gets across?"""

from __future__ import annotations

import torch

from mementum.lab.records.run import CONSTANT, STACKED
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 800
_WALKERS = 256
GOAL, _BEND = 0.5, 0.1
_DEPTH, _WIDTH = 0.008, 0.05
_NOISE = 0.125


def height(position: torch.Tensor) -> torch.Tensor:
    """Return ``BEND/2 (x - GOAL)^2 - DEPTH exp(-x^2 / 2 WIDTH^2)``.

    A bowl around its goal with a dent at 0. The dent is a local minimum, about a third
    as deep as the bowl, and a barrier parts the two.
    """
    bowl = 0.5 * _BEND * (position - GOAL).square()
    return bowl - _DEPTH * torch.exp(-position.square() / (2 * _WIDTH**2))


def barrier() -> float:
    """Return the place of the barrier's top, by halving between dent and bowl."""
    left, right = _WIDTH, 3 * _WIDTH
    for _ in range(60):
        middle = (left + right) / 2
        at = torch.tensor(middle, dtype=torch.float64, requires_grad=True)
        height(at).backward()  # type: ignore[no-untyped-call]
        assert at.grad is not None
        left, right = (middle, right) if at.grad > 0 else (left, middle)
    return left


class Bistable:
    """256 scalars that start at the dent and are shaken as they go down.

    This family of functions is our own: the one in AdaX's paper is not reproduced here.
    """

    def __init__(self, seed: int, steps: int = _STEPS, noise: float = _NOISE) -> None:
        starts = stream(seed, "bistable/init").uniform(-0.125, 0.0, _WALKERS)
        self.position = torch.nn.Parameter(torch.tensor(starts, dtype=torch.float32))
        shakes = stream(seed, "bistable/noise").standard_normal(
            (steps, _WALKERS), dtype="float32"
        )
        self.shakes = noise * torch.from_numpy(shakes)
        self.top = barrier()

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.position]

    def loss(self, step: int) -> torch.Tensor:
        """Return the sum of all heights, each tilted by this step's noise."""
        return self.value(*self.batch_at(step))

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the noise of a step, or of several."""
        return (self.shakes[steps],)

    def value(self, shakes: torch.Tensor) -> torch.Tensor:
        """Return the sum of all heights, tilted by this noise."""
        return (height(self.position) + shakes * self.position).sum()

    def evaluate(self) -> tuple[float, float]:
        """Return the mean height, and the share that is not in the wide basin."""
        here = self.position.detach().double()
        objective = float(height(here).mean())
        if not bool(here.isfinite().all()):
            return objective, float("nan")
        return objective, float((here < self.top).double().mean())


def _fingerprint() -> str:
    """Return the sha256 of the numbers that make the problem."""
    numbers = f"{_WALKERS} {GOAL} {_BEND} {_DEPTH} {_WIDTH} {_NOISE}"
    return digest(numbers)


BISTABLE = entry(
    "bistable",
    "Shallow trap before a wide basin, 256 noisy starts",
    "share of starts that miss the wide basin",
    start=Bistable,
    usual_schedule=CONSTANT,
    data=_fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 10, 0.02),
        Tier.SMOKE: Size(80, 2, 0.002),
        Tier.STANDARD: Size(8_000, 20, 0.2),
    },
    scale="linear",
    margin=0.05,
    form=STACKED,
)
