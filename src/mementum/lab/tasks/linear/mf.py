"""Matrix factorisation of generated ratings, popularity by Zipf's law."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch.nn.functional import embedding, mse_loss

from mementum.lab.records.run import STACKED
from mementum.lab.tasks.sampling import normal
from mementum.lab.tasks.task import Size, Task, Tier, digest, entry, stream

_STEPS = 300
_BATCH = 512
_PEOPLE, _THINGS, _RANK = 2000, 1000, 8
_NOISE = 0.5
HELD = 4096


@functools.cache
def truth() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factors behind the ratings, scaled to ratings of variance 1."""
    generator = stream(0, "mf/truth")
    scale = _RANK**-0.25
    people = scale * generator.standard_normal((_PEOPLE, _RANK))
    things = scale * generator.standard_normal((_THINGS, _RANK))
    return (
        torch.tensor(people, dtype=torch.float32),
        torch.tensor(things, dtype=torch.float32),
    )


def _ratings(
    generator: np.random.Generator, *shape: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return people, things and noisy ratings; both are drawn by Zipf's law."""
    popular = 1 / np.arange(1, max(_PEOPLE, _THINGS) + 1)
    who, what = (
        torch.from_numpy(
            generator.choice(
                count, size=shape, p=popular[:count] / popular[:count].sum()
            )
        )
        for count in (_PEOPLE, _THINGS)
    )
    people, things = truth()
    noise = torch.tensor(generator.standard_normal(shape), dtype=torch.float32)
    return who, what, (people[who] * things[what]).sum(dim=-1) + _NOISE * noise


class Factors:
    """Two embeddings of rank 8 whose product is the rating.

    Most rows have no gradient in most steps: with dense gradients it is zero, and an
    optimizer with momentum moves the row all the same.
    """

    def __init__(self, seed: int, steps: int = _STEPS, *, sparse: bool = False) -> None:
        self.sparse = sparse
        order = stream(seed, "mf/order")
        self.who, self.what, self.ratings = _ratings(order, steps, _BATCH)
        self.held = _ratings(stream(seed, "mf/held"), HELD)
        init = stream(seed, "mf/init")
        self.people = normal(init, _PEOPLE, _RANK, scale=0.3)
        self.things = normal(init, _THINGS, _RANK, scale=0.3)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.people, self.things]

    def rated(self, who: torch.Tensor, what: torch.Tensor) -> torch.Tensor:
        """Return the model's ratings."""
        people = embedding(who, self.people, sparse=self.sparse)
        return (people * embedding(what, self.things, sparse=self.sparse)).sum(dim=-1)

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        return self.value(*self.batch_at(step))

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the people, things and ratings of a step, or of several."""
        return self.who[steps], self.what[steps], self.ratings[steps]

    def value(
        self, who: torch.Tensor, what: torch.Tensor, ratings: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean squared error of the model's ratings."""
        return mse_loss(self.rated(who, what), ratings)

    def evaluate(self) -> tuple[float, float]:
        """Return the error on the first batches, and the held-out error by the noise.

        The second is a root mean square over the noise's deviation; 1 is the floor.
        """
        shown = self.who[:8], self.what[:8]
        train = float(mse_loss(self.rated(*shown), self.ratings[:8]))
        who, what, held = self.held
        return train, float(mse_loss(self.rated(who, what), held)) ** 0.5 / _NOISE


def _fingerprint() -> str:
    """Return the sha256 of the numbers behind the ratings."""
    return digest(*truth(), f"{_NOISE}")


def _task(name: str, words: str, *, sparse: bool) -> Task:
    """Return the factorisation with dense or sparse gradients."""
    return entry(
        name,
        f"Matrix factorisation, popularity by Zipf's law, {words} gradients",
        "validation error over the noise",
        start=functools.partial(Factors, sparse=sparse),
        data=_fingerprint,
        sizes={
            Tier.QUICK: Size(_STEPS, 10, 0.05),
            Tier.SMOKE: Size(50, 2, 0.01),
            Tier.STANDARD: Size(3000, 20, 0.5),
        },
        limit=1e6,
        form=STACKED,
    )


FACTORS = _task("mf-dense", "dense", sparse=False)
