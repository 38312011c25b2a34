"""A byte-level transformer on the King James Version: English, the same everywhere."""

from __future__ import annotations

import functools

import numpy as np

from mementum.lab.tasks.data import kjv
from mementum.lab.tasks.networks.lm_bytes import ByteTransformer
from mementum.lab.tasks.task import Size, Tier, digest, entry

_STEPS = 160
_BLOCK = 40_000
"""Bytes that are held out together."""
_EVERY = 10


@functools.cache
def corpus() -> tuple[np.ndarray, np.ndarray]:
    """Return the training bytes and the held-out bytes: every tenth block of 40,000."""
    text = np.frombuffer(kjv.load(), np.uint8)
    block = np.arange(len(text)) // _BLOCK
    held = block % _EVERY == _EVERY - 1
    return text[~held], text[held]


@functools.cache
def _fingerprint() -> str:
    """Return the sha256 of the data."""
    return digest(*corpus())


KJV = entry(
    "text-kjv",
    "Byte transformer on the King James Version",
    "validation bits per byte",
    start=functools.partial(
        ByteTransformer, steps=_STEPS, name="text-kjv", text=corpus, passages=128
    ),
    data=_fingerprint,
    sizes={
        Tier.QUICK: Size(_STEPS, 4, 1.0),
        Tier.SMOKE: Size(20, 2, 0.2),
        Tier.STANDARD: Size(3000, 20, 24.0),
    },
    limit=1e3,
)
