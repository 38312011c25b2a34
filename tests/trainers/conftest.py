"""What all the trainers' tests need."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from importlib import import_module

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small models train faster so, and several times where processes share cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def loaded() -> Callable[[str], None]:
    """Import a library, and let the collector not walk it after each run."""

    def load(name: str) -> None:
        import_module(name)
        gc.freeze()

    return load
