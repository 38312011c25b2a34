"""A small net that solves Poisson's equation on a line from the equation alone."""

from __future__ import annotations

import math

import torch

from mementum.lab.records.run import STACKED
from mementum.lab.tasks.sampling import uniform
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 3000
_BATCH = 64
_WIDTH = 32
_WAVES = ((1, 1.0), (4, 0.2))
"""The solution: sines of these half waves with these heights."""


def solution(place: torch.Tensor) -> torch.Tensor:
    """Return the solution: zero at both ends."""
    return _sum_of(place, power=0)


def source(place: torch.Tensor) -> torch.Tensor:
    """Return ``f = -u''`` of the solution."""
    return _sum_of(place, power=2)


def _sum_of(place: torch.Tensor, *, power: int) -> torch.Tensor:
    """Return the sines, each times its frequency to this power."""
    total = torch.zeros_like(place)
    for waves, height in _WAVES:
        pulse = waves * math.pi
        total = total + height * pulse**power * (pulse * place).sin()
    return total


class Poisson:
    """``u = x (1 - x) net(x)`` on [0, 1], so that both ends are zero.

    The loss is the mean square of ``u'' + f`` at random places. The net is followed
    together with its first and second derivative by the place, layer by layer, which
    is what differentiating twice gives, without a graph of a graph.
    """

    def __init__(self, seed: int, steps: int = _STEPS) -> None:
        drawn = stream(seed, "pinn-poisson/places").random((steps, _BATCH, 1))
        self.places = torch.tensor(drawn, dtype=torch.float32)
        self.grid = torch.linspace(0, 1, 201)[:, None]
        init = stream(seed, "pinn-poisson/init")
        self.layers = [
            (
                uniform(init, before, after, fan_in=before),
                uniform(init, after, fan_in=before),
            )
            for before, after in ((1, _WIDTH), (_WIDTH, _WIDTH), (_WIDTH, 1))
        ]

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [tensor for layer in self.layers for tensor in layer]

    def net(
        self, place: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the net's value and its first and second derivative."""
        value, slope = place, torch.ones_like(place)
        bend = torch.zeros_like(place)
        for weight, bias in self.layers[:-1]:
            value, slope, bend = value @ weight + bias, slope @ weight, bend @ weight
            value = value.tanh()
            rate = 1 - value.square()
            bend = rate * bend - 2 * value * rate * slope.square()
            slope = rate * slope
        weight, bias = self.layers[-1]
        return value @ weight + bias, slope @ weight, bend @ weight

    def residual(self, place: torch.Tensor) -> torch.Tensor:
        """Return ``u'' + f`` at these places."""
        value, slope, bend = self.net(place)
        curve = place * (1 - place) * bend + 2 * (1 - 2 * place) * slope - 2 * value
        return curve + source(place)

    def loss(self, step: int) -> torch.Tensor:
        """Return the mean squared residual at this step's places."""
        return self.value(*self.batch_at(step))

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the places of a step, or of several."""
        return (self.places[steps],)

    def value(self, places: torch.Tensor) -> torch.Tensor:
        """Return the mean squared residual at these places."""
        return self.residual(places).square().mean()

    def evaluate(self) -> tuple[float, float]:
        """Return the mean squared residual on a grid, and the relative L2 error."""
        place = self.grid
        found = place * (1 - place) * self.net(place)[0]
        truth = solution(place)
        residual = float(self.residual(place).square().mean())
        return residual, float((found - truth).norm() / truth.norm())


def _fingerprint() -> str:
    """Return the sha256 of the numbers that make the problem."""
    return digest(f"{_WAVES} {_WIDTH}")


POISSON = entry(
    "pinn-poisson",
    "Poisson's equation solved by a tanh net",
    "relative L2 error",
    start=Poisson,
    data=_fingerprint,
    sizes={
        Tier.STANDARD: Size(_STEPS, 20, 4.0),
        Tier.SMOKE: Size(50, 2, 0.05),
    },
    limit=1e9,
    form=STACKED,
)
