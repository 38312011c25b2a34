"""A linear bigram model whose classes are mostly rare."""

from __future__ import annotations

import functools

import torch

from mementum.lab.tasks.sampling import normal
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 400
_CLASSES = 300
_KNOWN = 0.5
_RESOLUTION = 1e-6


@functools.cache
def law() -> torch.Tensor:
    """Return Zipf's law, float64: the chance of class k is proportional to 1/k."""
    chances = 1 / torch.arange(1, _CLASSES + 1, dtype=torch.float64)
    return chances / chances.sum()


@functools.cache
def language() -> torch.Tensor:
    """Return the chance of each class after each class, float64.

    After each class comes its successor half of the time, and else any class by the
    law.
    """
    order = stream(0, "zipf-linear/language").permutation(_CLASSES)
    chances = (1 - _KNOWN) * law().repeat(_CLASSES, 1)
    chances[torch.arange(_CLASSES), torch.from_numpy(order)] += _KNOWN
    return chances


@functools.cache
def entropy() -> torch.Tensor:
    """Return the entropy of the next class after each class, in nats."""
    return -(language() * language().log()).sum(dim=-1)


class Bigram:
    """A row of scores for each class that was seen, and a bias for all.

    The loss is the exact expectation, all classes at every step. A row moves in the
    measure of how often its class is seen: gradient descent spends its steps on the
    common classes, and a step size for each coordinate serves the rare ones as well
    (Kunstner et al., 2024). In batches of 256 the difference drowns in sampling noise.
    """

    def __init__(self, seed: int, steps: int = _STEPS) -> None:
        init = stream(seed, "zipf-linear/init")
        self.weight = normal(init, _CLASSES, _CLASSES, scale=0.1)
        self.bias = normal(init, _CLASSES, scale=0.1)
        self.law, self.language = law().float(), language().float()
        self.exact = law(), language(), entropy()

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.weight, self.bias]

    def guesses(self) -> torch.Tensor:
        """Return the log-chances of the next class after each class."""
        return (self.weight + self.bias).log_softmax(dim=-1)

    def loss(self, step: int) -> torch.Tensor:
        """Return the expected cross-entropy, the same at every step."""
        return -self.law.dot((self.language * self.guesses()).sum(dim=-1))

    def by_class(self) -> torch.Tensor:
        """Return the excess over the entropy after each class, common ones first."""
        _, language, entropy = self.exact
        crossed = -(language * self.guesses().double()).sum(dim=-1)
        return crossed - entropy

    def evaluate(self) -> tuple[float, float]:
        """Return the expected cross-entropy, and its excess over the entropy.

        An excess below what float32 scores resolve counts as that resolution.
        """
        law, _, entropy = self.exact
        excess = float(law.dot(self.by_class()))
        value = excess + float(law.dot(entropy))
        return value, max(excess, _RESOLUTION) if excess == excess else excess


def _fingerprint() -> str:
    """Return the sha256 of the language."""
    return digest(language())


ZIPF = entry(
    "zipf-linear",
    "Linear bigram model, 300 classes by Zipf's law",
    "excess over the entropy, nats",
    start=Bigram,
    data=_fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 10, 0.22),
        Tier.SMOKE: Size(40, 2, 0.03),
        Tier.STANDARD: Size(4000, 20, 2.2),
    },
    limit=1e3,
)
