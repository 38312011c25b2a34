"""A recurrent network on a generated text whose entropy rate is known."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch.nn.functional import cross_entropy, embedding, linear

from mementum.lab.tasks.sampling import normal, uniform
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 200
_BATCH = 16
_LENGTH = 32
WORDS = 100
_WIDTH = 64
_TEXT = 60_000


@functools.cache
def language() -> tuple[np.ndarray, float]:
    """Return the chance of every word after every other, and the entropy rate in nats.

    The chances of each row are a Zipf law whose words are weighted by chance.
    """
    draw = np.random.default_rng(20_260)
    zipf = 1 / np.arange(1, WORDS + 1)
    rows = zipf * draw.gamma(0.3, size=(WORDS, WORDS)) + 1e-4 * zipf
    chances = rows / rows.sum(axis=1, keepdims=True)
    share = np.full(WORDS, 1 / WORDS)
    for _ in range(1000):
        share = share @ chances
    entropy = -float(share @ (chances * np.log(chances)).sum(axis=1))
    return chances, entropy


@functools.cache
def text() -> torch.Tensor:
    """Return the text: parallel lines of words, shape (60, 1000)."""
    chances = language()[0].cumsum(axis=1)
    draw = np.random.default_rng(20_261)
    lines = _TEXT // 1000
    words = np.zeros((lines, 1000), dtype=np.int64)
    for place in range(1, 1000):
        point = draw.random((lines, 1))
        after = (chances[words[:, place - 1]] < point).sum(axis=1)
        words[:, place] = np.minimum(after, WORDS - 1)
    return torch.from_numpy(words)


class _Chain:
    """LSTM-64 that predicts the next word; the last ten lines are held out."""

    def __init__(self, seed: int) -> None:
        lines = text()
        draw = stream(seed, "lstm-chain/order")
        line = torch.from_numpy(draw.integers(0, 50, (_STEPS, _BATCH, 1)))
        start = torch.from_numpy(draw.integers(0, 1000 - _LENGTH, (_STEPS, _BATCH, 1)))
        self.batches = lines[line, start + torch.arange(_LENGTH + 1)]
        self.kept, self.held = lines[:10, :200], lines[50:, :200]
        init = stream(seed, "lstm-chain/init")
        self.words = normal(init, WORDS, _WIDTH, scale=0.1)
        self.cell = torch.nn.LSTM(_WIDTH, _WIDTH, batch_first=True)
        with torch.no_grad():
            for parameter in self.cell.parameters():
                drawn = uniform(init, *parameter.shape, fan_in=_WIDTH)
                parameter.copy_(drawn)
        self.head = uniform(init, WORDS, _WIDTH)
        self.bias = torch.nn.Parameter(torch.zeros(WORDS))

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [self.words, *self.cell.parameters(), self.head, self.bias]

    def excess(self, lines: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of these lines above the entropy rate."""
        flow, _ = self.cell(embedding(lines[:, :-1], self.words))
        scores = linear(flow, self.head, self.bias)
        found = cross_entropy(scores.flatten(0, 1), lines[:, 1:].flatten())
        return found - language()[1]

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        return self.excess(self.batches[step])

    def evaluate(self) -> tuple[float, float]:
        """Return the excess on training lines and on held-out lines, in nats."""
        return float(self.excess(self.kept)), float(self.excess(self.held))


def _fingerprint() -> str:
    """Return the sha256 of the text."""
    return digest(text())


CHAIN = entry(
    "lstm-chain",
    "LSTM-64 on a generated text of 100 words with a known entropy rate",
    "validation cross-entropy above the entropy rate, nats",
    start=_Chain,
    data=_fingerprint,
    sizes={Tier.QUICK: Size(_STEPS, 10, 1.5)},
    limit=1e3,
)
