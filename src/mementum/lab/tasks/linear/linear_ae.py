"""A deep linear autoencoder, whose best value is known: it is PCA's."""

from __future__ import annotations

import functools
import itertools

import torch

from mementum.lab.records.run import STACKED
from mementum.lab.tasks.networks.mlp_digits import images
from mementum.lab.tasks.sampling import normal
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 300
_WIDTHS = (64, 32, 16, 16, 32, 64)


@functools.cache
def spread() -> torch.Tensor:
    """Return the covariance of the centred images, float64."""
    pixels = images()[0].double()
    centred = pixels - pixels.mean(dim=0)
    return centred.T @ centred / len(pixels)


@functools.cache
def _optimum() -> float:
    """Return the least mean squared error: the variance beyond the 16th component."""
    values = torch.linalg.eigvalsh(spread())
    return float(values[: -min(_WIDTHS)].sum())


class Autoencoder:
    """Five linear maps through a neck of 16, trained on all images at once.

    The mean squared error over all images depends on their covariance alone, so a step
    costs five small products. Where a map is near zero there is a saddle.
    """

    def __init__(self, seed: int, steps: int = _STEPS) -> None:
        init = stream(seed, "linear-ae/init")
        self.maps = [
            normal(init, after, before, scale=0.5 * before**-0.5)
            for before, after in itertools.pairwise(_WIDTHS)
        ]
        self.exact = spread()
        self.spread = self.exact.float()

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return self.maps

    def error(self, spread: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error on images of this covariance."""
        whole = self.maps[0].to(spread.dtype)
        for each in self.maps[1:]:
            whole = each.to(spread.dtype) @ whole
        off = torch.eye(_WIDTHS[0], dtype=spread.dtype, device=spread.device) - whole
        return ((off @ spread) * off).sum()

    def loss(self, step: int) -> torch.Tensor:
        """Return the error on all images, the same at every step."""
        return self.value(*self.batch_at(step))

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the images' covariance, at every step."""
        return (self.spread.expand(*torch.as_tensor(steps).shape, -1, -1),)

    value = error

    def evaluate(self) -> tuple[float, float]:
        """Return the error, and its excess over PCA's as a share of PCA's."""
        value = float(self.error(self.exact))
        gap = value / _optimum() - 1
        return value, max(gap, 1e-9) if gap == gap else gap


def _fingerprint() -> str:
    """Return the sha256 of the data."""
    return digest(images()[0])


AUTOENCODER = entry(
    "linear-ae",
    "Deep linear autoencoder on handwritten digits, gap to PCA",
    "error above PCA's, as a share of it",
    start=Autoencoder,
    data=_fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 10, 0.03),
        Tier.SMOKE: Size(50, 2, 0.006),
        Tier.STANDARD: Size(3000, 20, 0.3),
    },
    limit=1e6,
    # Too noisy to rank.
    named_only=(Tier.QUICK,),
    form=STACKED,
)
