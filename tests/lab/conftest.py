"""Data of the published form, small and made up."""

from collections.abc import Generator

import numpy as np
import pytest

from mementum.lab.tasks.data import cifar, fashion, mnist, wikitext
from mementum.lab.tasks.networks import fashion_mlp, paper_tier


@pytest.fixture
def small_data(monkeypatch: pytest.MonkeyPatch) -> Generator[None, None, None]:
    """Let the tasks on data sets find forty examples, and 900 bytes of text.

    The papers' batches are small too.
    """
    many = np.random.default_rng(1)
    images = many.integers(0, 256, (40, 28, 28)).astype(np.uint8)
    colours = many.integers(0, 256, (40, 3, 32, 32)).astype(np.uint8)
    text = many.integers(0, 256, 900).astype(np.uint8)
    labels = np.arange(40) % 10
    monkeypatch.setattr(mnist, "load", lambda part: (images, labels))
    monkeypatch.setattr(fashion, "load", lambda part: (images, labels))
    monkeypatch.setattr(cifar, "load", lambda part: (colours, labels))
    monkeypatch.setattr(wikitext, "load", lambda part: text)
    for size, small in {"_BATCH": 8, "PASSAGES": 2, "CONTEXT": 12}.items():
        monkeypatch.setattr(paper_tier, size, small)
    of_papers = paper_tier.digits, paper_tier.pictures, paper_tier.texts
    loaded = *of_papers, fashion_mlp.images, fashion_mlp.fingerprint
    for data in loaded:
        data.cache_clear()
    yield
    for data in loaded:
        data.cache_clear()
