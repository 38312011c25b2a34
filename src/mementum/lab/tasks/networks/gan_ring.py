"""A small generative adversarial net on a ring of eight bumps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import linear, softplus

from mementum.lab.tasks.sampling import maps
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

STEPS = 3000
BATCH = 128
SEEN = 512
MODES = 8
RADIUS, SPREAD = 2.0, 0.05
WIDTH = 32

Layers = Sequence[tuple[torch.Tensor, torch.Tensor]]


def ring(generator: np.random.Generator, *shape: int) -> torch.Tensor:
    """Return points of the ring, shape (*shape, 2): a bump each, and noise."""
    angle = 2 * math.pi / MODES * generator.integers(0, MODES, shape)
    centres = RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    noise = SPREAD * generator.standard_normal((*shape, 2))
    return torch.tensor(centres + noise, dtype=torch.float32)


def missed(points: torch.Tensor) -> float:
    """Return the share of bumps that hold less than a quarter of their part.

    A point belongs to a bump within four deviations of its centre.
    """
    angle = 2 * math.pi / MODES * torch.arange(MODES)
    centres = RADIUS * torch.stack([angle.cos(), angle.sin()], dim=-1)
    near = torch.cdist(points, centres) < 4 * SPREAD
    return float((near.double().mean(dim=0) < 1 / (4 * MODES)).double().mean())


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return the exact Wasserstein-1 distance of two sets of equally many points."""
    from scipy.optimize import linear_sum_assignment

    costs = torch.cdist(ours.double(), theirs.double()).numpy()
    return float(costs[linear_sum_assignment(costs)].mean())


class Ring:
    """Generator and discriminator of width 32, both stepped by one optimizer.

    The loss is the discriminator's plus the generator's, each blind to the other's
    parameters, so one step moves both at once.
    """

    def __init__(self, seed: int, steps: int = STEPS) -> None:
        self.real = ring(stream(seed, "gan-ring/real"), steps, BATCH)
        noise = stream(seed, "gan-ring/noise").standard_normal((steps, BATCH, 2))
        self.noise = torch.tensor(noise, dtype=torch.float32)
        held = stream(seed, "gan-ring/held")
        self.held = ring(held, SEEN)
        self.seen = torch.tensor(held.standard_normal((SEEN, 2)), dtype=torch.float32)
        init = stream(seed, "gan-ring/init")
        self.generator = maps(init, 2, WIDTH, WIDTH, 2)
        self.discriminator = maps(init, 2, WIDTH, WIDTH, 1)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        layers = [*self.generator, *self.discriminator]
        return [tensor for layer in layers for tensor in layer]

    @staticmethod
    def through(layers: Layers, flow: torch.Tensor) -> torch.Tensor:
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


def fingerprint() -> str:
    """Return the sha256 of the numbers that make the problem."""
    return digest(f"{MODES} {RADIUS} {SPREAD} {WIDTH}")


RING = entry(
    "gan-ring",
    "Generative adversarial net on a ring of eight bumps",
    "Wasserstein-1 distance to held-out points",
    start=Ring,
    data=fingerprint,
    sizes={
        Tier.STANDARD: Size(STEPS, 20, 5.0),
        Tier.SMOKE: Size(30, 2, 0.1),
    },
    limit=1e3,
)
