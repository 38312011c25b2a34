"""What any number of processes saved, any number of processes loads, to the bit."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from tests.distributed import checkpoints
from tests.distributed.models import SETTINGS
from tests.distributed.pool import Pool
from tests.distributed.programs import WORLD

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("distributed")]
SIZES = range(1, WORLD + 1)


Saved = Callable[[str, int], str]


@pytest.fixture(scope="module")
def saved(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Return where a setting was saved by a number of processes."""

    @functools.cache
    def folder(name: str, ranks: int) -> str:
        path = str(tmp_path_factory.mktemp("saved") / "checkpoint")
        right = pool.run(checkpoints.save, name, path, ranks, ranks=ranks)
        assert right == [True] * ranks
        return path

    return folder


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("loading", SIZES)
@pytest.mark.parametrize("saving", SIZES)
def test_a_run_continues_with_another_number_of_processes(
    pool: Pool, saved: Saved, name: str, saving: int, loading: int
) -> None:
    folder = saved(name, saving)
    differing = pool.run(checkpoints.load, name, folder, loading, ranks=loading)
    assert differing == [[]] * loading
