"""A small generative adversarial net on a ring of eight bumps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import linear, softplus

from mementum.lab.tasks.sampling import maps
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 3000
_BATCH = 128
_SEEN = 512
_MODES = 8
_RADIUS, _SPREAD = 2.0, 0.05
_WIDTH = 32

_Layers = Sequence[tuple[torch.Tensor, torch.Tensor]]


def ring(generator: np.random.Generator, *shape: int) -> torch.Tensor:
    """Return points of the ring, shape (*shape, 2): a bump each, and noise."""
    angle = 2 * math.pi / _MODES * generator.integers(0, _MODES, shape)
    centres = _RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    noise = _SPREAD * generator.standard_normal((*shape, 2))
    return torch.tensor(centres + noise, dtype=torch.float32)


def missed(points: torch.Tensor) -> float:
    """Return the share of bumps that hold less than a quarter of their part.

    A point belongs to a bump within four deviations of its centre.
    """
    angle = 2 * math.pi / _MODES * torch.arange(_MODES)
    centres = _RADIUS * torch.stack([angle.cos(), angle.sin()], dim=-1)
    near = torch.cdist(points, centres) < 4 * _SPREAD
    return float((near.double().mean(dim=0) < 1 / (4 * _MODES)).double().mean())


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return the exact Wasserstein-1 distance of two sets of equally many points."""
    from scipy.optimize import linear_sum_assignment

    costs = torch.cdist(ours.double(), theirs.double()).numpy()
    return float(costs[linear_sum_assignment(costs)].mean())


class _Ring:
    """Generator and discriminator of width 32, both stepped by one optimizer.

    The loss is the discriminator's plus the generator's, each blind to the other's
    parameters, so one step moves both at once.
    """

    def __init__(self, seed: int, steps: int = _STEPS) -> None:
        self.real = ring(stream(seed, "gan-ring/real"), steps, _BATCH)
        noise = stream(seed, "gan-ring/noise").standard_normal((steps, _BATCH, 2))
        self.noise = torch.tensor(noise, dtype=torch.float32)
        held = stream(seed, "gan-ring/held")
        self.held = ring(held, _SEEN)
        self.seen = torch.tensor(held.standard_normal((_SEEN, 2)), dtype=torch.float32)
        init = stream(seed, "gan-ring/init")
        self.generator = maps(init, 2, _WIDTH, _WIDTH, 2)
        self.discriminator = maps(init, 2, _WIDTH, _WIDTH, 1)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        layers = [*self.generator, *self.discriminator]
        return [tensor for layer in layers for tensor in layer]

    @staticmethod
    def through(layers: _Layers, flow: torch.Tensor) -> torch.Tensor:
        """Return what the layers make of the flow, ReLU between them."""
        for weight, bias in layers[:-1]:
            flow = linear(flow, weight, bias).relu()
        return linear(flow, *layers[-1])

    def loss(self, step: int) -> torch.Tensor:
        """Return both players' losses, non-saturating, on this step's points."""
        fake = self.through(self.generator, self.noise[step])
        judge = self.discriminator
        frozen = [(weight.detach(), bias.detach()) for weight, bias in judge]
        real = softplus(-self.through(judge, self.real[step])).mean()
        caught = softplus(self.through(judge, fake.detach())).mean()
        fooled = softplus(-self.through(frozen, fake)).mean()
        return real + caught + fooled

    def evaluate(self) -> tuple[float, float]:
        """Return the share of bumps missed, and the distance to held-out points.

        The players' losses say nothing of how good the points are, so the share of
        missed bumps stands where other tasks have their training objective.
        """
        made = self.through(self.generator, self.seen).detach()
        if not bool(made.isfinite().all()):
            return float("nan"), float("nan")
        return missed(made), distance(made, self.held)


def _fingerprint() -> str:
    """Return the sha256 of the numbers that make the problem."""
    return digest(f"{_MODES} {_RADIUS} {_SPREAD} {_WIDTH}")


RING = entry(
    "gan-ring",
    "Generative adversarial net on a ring of eight bumps",
    "Wasserstein-1 distance to held-out points",
    start=_Ring,
    data=_fingerprint,
    sizes={
        Tier.STANDARD: Size(_STEPS, 20, 5.0),
        Tier.SMOKE: Size(30, 2, 0.1),
    },
    limit=1e3,
)
