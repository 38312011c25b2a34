"""What all the trainers' tests need."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from importlib import import_module

import pytest


@pytest.fixture(scope="module")
def loaded() -> Iterator[Callable[[str], None]]:
    """Import a library, and let the collector not walk it after each run."""

    def load(name: str) -> None:
        import_module(name)
        gc.freeze()

    yield load
    gc.unfreeze()
