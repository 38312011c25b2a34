"""A byte-level transformer on the source text of Python's standard library."""

from __future__ import annotations

import functools
import math
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import (
    cross_entropy,
    embedding,
    layer_norm,
    linear,
    scaled_dot_product_attention,
)

from mementum.lab.tasks.sampling import normal
from mementum.lab.tasks.task import Size, Tier, digest, entry, stream

_STEPS = 160
_BATCH = 8
CONTEXT = 64
_WIDTH = 64
_HEADS = 2
_LAYERS = 2
_EVERY = 10


@functools.cache
def corpus() -> tuple[np.ndarray, np.ndarray]:
    """Return the training bytes and the held-out bytes.

    The text is the top-level modules of the standard library in order of their names;
    every tenth is held out. Modules that the installation adds are left out, so the
    text depends on the Python version alone.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(
        path for path in folder.glob("*.py") if path.stem in sys.stdlib_module_names
    )
    if len(files) < _EVERY:
        raise FileNotFoundError(
            f"lm-bytes trains on the source text of the standard library, and {folder} "
            f"holds {len(files)} of its modules. Use a Python that ships its sources."
        )
    texts = [path.read_bytes() for path in files]
    held = b"".join(texts[_EVERY - 1 :: _EVERY])
    kept = b"".join(t for index, t in enumerate(texts) if index % _EVERY != _EVERY - 1)
    return np.frombuffer(kept, np.uint8), np.frombuffer(held, np.uint8)


def _windows(text: np.ndarray, starts: np.ndarray) -> torch.Tensor:
    """Return the windows of one context and one byte that begin at these places."""
    places = starts[..., None] + np.arange(CONTEXT + 1)
    return torch.tensor(text[places].astype(np.int64))


def _spread(text: np.ndarray, count: int) -> torch.Tensor:
    """Return evenly spaced windows over the whole text, shape (count, context + 1)."""
    starts = np.linspace(0, len(text) - CONTEXT - 1, count)
    return _windows(text, starts.astype(np.int64))


class _Layer:
    """Attention, then two linear maps with a ReLU between, each behind a norm."""

    def __init__(self, generator: np.random.Generator) -> None:
        wide, narrow = _WIDTH**-0.5, (2 * _LAYERS * _WIDTH) ** -0.5
        self.mixing = normal(generator, 3 * _WIDTH, _WIDTH, scale=wide)
        self.mixing_out = normal(generator, _WIDTH, _WIDTH, scale=narrow)
        self.inner = normal(generator, _WIDTH, _WIDTH, scale=wide)
        self.outer = normal(generator, _WIDTH, _WIDTH, scale=narrow)

    def __call__(self, flow: torch.Tensor) -> torch.Tensor:
        """Return what the layer makes of its input, both (batch, length, 64)."""
        batch, length, _ = flow.shape
        seen = linear(layer_norm(flow, (_WIDTH,)), self.mixing)
        heads = seen.view(batch, length, 3, _HEADS, _WIDTH // _HEADS).transpose(1, 3)
        query, key, value = heads.unbind(2)
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True)
        flow = flow + linear(mixed.transpose(1, 2).flatten(2), self.mixing_out)
        inner = linear(layer_norm(flow, (_WIDTH,)), self.inner).relu()
        return flow + linear(inner, self.outer)


class ByteTransformer:
    """Two layers of width 64 that predict the next byte from up to 64 before it."""

    def __init__(
        self,
        seed: int,
        steps: int = _STEPS,
        *,
        name: str = "lm-bytes",
        text: Callable[[], tuple[np.ndarray, np.ndarray]] = corpus,
        passages: int = 64,
    ) -> None:
        """`passages` of the held-out text are scored."""
        kept, held = text()
        order = stream(seed, f"{name}/order")
        starts = order.integers(0, len(kept) - CONTEXT, (steps, _BATCH))
        self.batches = _windows(kept, starts)
        self.kept, self.held = _spread(kept, 16), _spread(held, passages)
        init = stream(seed, f"{name}/init")
        self.letters = normal(init, 256, _WIDTH, scale=0.02)
        self.places = normal(init, CONTEXT, _WIDTH, scale=0.02)
        self.layers = [_Layer(init) for _ in range(_LAYERS)]
        self.head = normal(init, 256, _WIDTH, scale=0.02)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        inside = [value for layer in self.layers for value in vars(layer).values()]
        return [self.letters, self.places, *inside, self.head]

    def entropy(self, text: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of these windows' bytes, in nats."""
        flow = embedding(text[:, :-1], self.letters) + self.places
        for layer in self.layers:
            flow = layer(flow)
        scores = linear(layer_norm(flow, (_WIDTH,)), self.head)
        return cross_entropy(scores.flatten(0, 1), text[:, 1:].flatten())

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        return self.entropy(self.batches[step])

    def evaluate(self) -> tuple[float, float]:
        """Return nats per byte on training text, and bits per byte on held-out text."""
        held = float(self.entropy(self.held)) / math.log(2)
        return float(self.entropy(self.kept)), held


def _fingerprint() -> str:
    """Return the sha256 of the data."""
    return digest(*corpus())


BYTES = entry(
    "lm-bytes",
    "Byte transformer on the standard library's source text",
    "validation bits per byte",
    start=ByteTransformer,
    data=_fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 6, 1.3),
        Tier.SMOKE: Size(20, 2, 0.2),
        Tier.STANDARD: Size(2400, 20, 19.0),
    },
    limit=1e3,
    # text-kjv is the same with every Python.
    named_only=(Tier.QUICK,),
    version=2,
)
