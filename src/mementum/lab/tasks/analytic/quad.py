"""The noisy quadratic: curvatures over four decades, along the axes or turned."""

from __future__ import annotations

import functools

import numpy as np
import torch

from mementum.lab.records.run import CONSTANT, STACKED
from mementum.lab.tasks.task import Size, Task, Tier, digest, entry, stream

_STEPS = 400
_DIMENSIONS = 100
CONDITION = 1e4
_NOISE = 0.1


@functools.cache
def turn() -> torch.Tensor:
    """Return the one random rotation that all seeds share."""
    drawn = stream(0, "quad/turn").standard_normal((_DIMENSIONS, _DIMENSIONS))
    orthogonal, upper = np.linalg.qr(drawn)
    return torch.tensor(orthogonal * np.sign(np.diag(upper)), dtype=torch.float32)


def curvatures() -> torch.Tensor:
    """Return the eigenvalues, from 1e-4 to 1 in equal ratios."""
    exponents = torch.linspace(-1, 0, _DIMENSIONS, dtype=torch.float64)
    return CONDITION**exponents


class Quadratic:
    """``(x - noise)' H (x - noise) / 2`` in 100 dimensions, its minimum at zero.

    Per-coordinate step sizes are a help where H is diagonal and none where it is
    turned: the two tasks start at the same points and see the same noise.
    """

    def __init__(self, seed: int, steps: int = _STEPS, *, turned: bool) -> None:
        start = stream(seed, "quad/init").standard_normal(_DIMENSIONS)
        noise = stream(seed, "quad/noise").standard_normal((steps, _DIMENSIONS))
        self.turn = turn() if turned else None
        self.curvatures = curvatures()
        self.noise = torch.tensor(_NOISE * noise, dtype=torch.float32)
        begin = torch.tensor(start, dtype=torch.float32)
        self.start = self.height(begin)
        self.point = torch.nn.Parameter(turn() @ begin if turned else begin)

    def rotation(self) -> torch.Tensor:
        """Return the rotation, which only a turned objective looks at."""
        return turn() if self.turn is None else self.turn

    def along(self, rotation: torch.Tensor) -> torch.Tensor:
        """Return the point along the axes of the curvatures."""
        return self.point if self.turn is None else rotation.T @ self.point

    def height(self, along: torch.Tensor) -> float:
        """Return the noiseless objective at a point given along the axes."""
        return float((self.curvatures * along.double().square()).sum() / 2)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.point]

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss with this step's noise."""
        return self.value(*self.batch_at(step))

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the noise of a step, or of several, and the rotation."""
        noise = self.noise[steps]
        return noise, self.rotation().expand(*noise.shape[:-1], -1, -1)

    def value(self, noise: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
        """Return the loss with this noise."""
        off = self.along(rotation) - noise
        return (self.curvatures.float() * off.square()).sum() / 2

    def evaluate(self) -> tuple[float, float]:
        """Return the noiseless objective, and its share of the objective at the start.

        The minimum is 0, so the share is the suboptimality.
        """
        value = self.height(self.along(self.rotation()).detach())
        return value, max(value / self.start, 1e-12) if value == value else value


def _fingerprint() -> str:
    """Return the sha256 of the numbers that make the problem."""
    return digest(f"{_DIMENSIONS} {CONDITION} {_NOISE}")


def _task(name: str, words: str, *, turned: bool) -> Task:
    """Return the quadratic along its axes or turned."""
    return entry(
        name,
        f"Noisy quadratic in 100 dimensions, condition 1e4, {words}",
        "objective as a share of its start",
        start=functools.partial(Quadratic, turned=turned),
        usual_schedule=CONSTANT,
        data=_fingerprint,
        sizes={
            Tier.QUICK: Size(_STEPS, 10, 0.01),
            Tier.SMOKE: Size(40, 2, 0.002),
            Tier.STANDARD: Size(4_000, 20, 0.1),
        },
        limit=1e6,
        # Turned it is too noisy to rank.
        named_only=(Tier.QUICK,) if turned else (),
        form=STACKED,
    )


QUAD = _task("quad", "along the axes", turned=False)
QUAD_TURNED = _task("quad-turned", "turned at random", turned=True)
