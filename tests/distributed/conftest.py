"""The processes that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.distributed.pool import Pool
from tests.distributed.programs import WORLD, join


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """Return four processes in one process group, started when first used."""
    processes = Pool(WORLD, join)
    yield processes
    processes.close()
