"""An LSTM on a generated language whose entropy rate is known."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch.nn.functional import embedding, linear, nll_loss

from mementum.lab.tasks.sampling import normal, uniform
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 100
_BATCH = 16
_LENGTH = 32
_WORDS = 64
_WIDTH = 64
_HELD = 64
_EVEN = 0.3


@functools.cache
def language() -> torch.Tensor:
    """Return the chance of each word after each pair of words, float64.

    Shape (before last, last, next). Three parts in ten are Zipf's law over all words;
    the rest is the same law over words reordered by the last word and by the one
    before it, half each. So common words are common everywhere, and both matter.
    """
    generator = stream(0, "lm-lstm/language")
    law = 1 / np.arange(1, _WORDS + 1)
    law /= law.sum()
    orders = np.argsort(generator.random((2, _WORDS, _WORDS)), axis=-1)
    before, last = law[orders[0]], law[orders[1]]
    mixed = (before[:, None, :] + last[None, :, :]) / 2
    return torch.from_numpy(_EVEN * law + (1 - _EVEN) * mixed)


@functools.cache
def entropy_rate() -> float:
    """Return the entropy of the next word, in nats, over the stationary pairs."""
    chances = language()
    pairs = torch.full((_WORDS, _WORDS), _WORDS**-2.0, dtype=torch.float64)
    for _ in range(200):
        pairs = torch.einsum("ab,abc->bc", pairs, chances)
    surprise = -(chances * chances.log()).sum(dim=-1)
    return float((pairs * surprise).sum())


def text(generator: np.random.Generator, rows: int, length: int) -> torch.Tensor:
    """Return independent passages of the language, shape (rows, length)."""
    sums = language().cumsum(dim=-1).numpy()
    sums[..., -1] = 1.0
    words = np.empty((rows, length), np.int64)
    words[:, :2] = generator.integers(0, _WORDS, (rows, 2))
    draws = generator.random((rows, length))
    for place in range(2, length):
        known = sums[words[:, place - 2], words[:, place - 1]]
        words[:, place] = (known < draws[:, place, None]).sum(axis=1)
    return torch.from_numpy(words)


class Chain:
    """Embedding, LSTM and linear map of width 64."""

    def __init__(self, seed: int, steps: int = _STEPS) -> None:
        self.text = text(stream(seed, "lm-lstm/text"), steps * _BATCH, _LENGTH + 1)
        self.held = text(stream(seed, "lm-lstm/held"), _HELD, _LENGTH + 1)
        self.truth = language()[self.held[:, :-2], self.held[:, 1:-1]]
        init = stream(seed, "lm-lstm/init")
        self.letters = normal(init, _WORDS, _WIDTH, scale=1.0)
        with torch.random.fork_rng(devices=[]):
            lstm = torch.nn.LSTM(_WIDTH, _WIDTH, batch_first=True)
        with torch.no_grad():
            for parameter in lstm.parameters():
                parameter.copy_(uniform(init, *parameter.shape, fan_in=_WIDTH))
        self.lstm = lstm
        self.outer = uniform(init, _WORDS, _WIDTH)
        self.outer_bias = uniform(init, _WORDS, fan_in=_WIDTH)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        inside = list(self.lstm.parameters())
        return [self.letters, *inside, self.outer, self.outer_bias]

    def guesses(self, words: torch.Tensor) -> torch.Tensor:
        """Return the log-chances of each passage's next words."""
        flow, _ = self.lstm(embedding(words[:, :-1], self.letters))
        return linear(flow, self.outer, self.outer_bias).log_softmax(dim=-1)

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        words = self.text[step * _BATCH : (step + 1) * _BATCH]
        return nll_loss(self.guesses(words).flatten(0, 1), words[:, 1:].flatten())

    def evaluate(self) -> tuple[float, float]:
        """Return the expected cross-entropy, and its excess over the true chances'.

        Both are over the next word given held-out passages, in nats. The excess is the
        divergence of the guesses from the true chances: never below zero, and free of
        the luck of which word came next. The first word of a passage has no pair
        before it and is left out.
        """
        truth = self.truth
        guesses = self.guesses(self.held)[:, 1:].double()
        entropy = -(truth * truth.log()).sum(dim=-1).mean()
        crossed = -(truth * guesses).sum(dim=-1).mean()
        return float(crossed), float(crossed - entropy)


def _fingerprint() -> str:
    """Return the sha256 of the language."""
    return digest(language())


CHAIN = entry(
    "lm-lstm",
    "LSTM on a generated language of known entropy",
    "excess over the entropy rate, nats",
    start=Chain,
    data=_fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 8, 0.4),
        Tier.SMOKE: Size(20, 2, 0.1),
        Tier.STANDARD: Size(1000, 20, 4.0),
    },
    limit=1e3,
)
