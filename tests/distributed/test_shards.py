"""A step of parameters spread over processes gives the bits of a step of the whole."""

from __future__ import annotations

import pytest
from tests.distributed import programs
from tests.distributed.pool import Pool
from tests.distributed.programs import FORMATS, LAYOUTS

layouts = pytest.mark.parametrize("layout", LAYOUTS)
formats = pytest.mark.parametrize("form", FORMATS)
pytestmark = [pytest.mark.process, pytest.mark.xdist_group("distributed")]


@formats
@layouts
def test_shards_are_stepped_as_the_whole_is(pool: Pool, layout: str, form: str) -> None:
    dtype, options = FORMATS[form]
    ranks = programs.size_of(layout)
    assert (
        pool.run(programs.differing, layout, dtype, options, ranks=ranks)
        == [[]] * ranks
    )


@formats
def test_a_process_without_elements_steps_nothing(pool: Pool, form: str) -> None:
    dtype, options = FORMATS[form]
    # Of one row sharded over two processes, the second has nothing.
    arguments = ("rows over 2", dtype, options, 0, ((1, 40), (1,)))
    assert pool.run(programs.differing, *arguments, ranks=2) == [[], []]


@formats
def test_between_steps_no_shard_is_owned_but_by_the_state(
    pool: Pool, form: str
) -> None:
    dtype, options = FORMATS[form]
    arguments = ("rows over 2", dtype, options)
    found = pool.run(programs.owned_between_steps, *arguments, ranks=2)
    assert found == [[0, 0], [0, 0]]


@formats
def test_shards_that_do_not_move_are_found_out_once(pool: Pool, form: str) -> None:
    dtype, options = FORMATS[form]
    arguments = ("rows over 2", dtype, options)
    found = pool.run(programs.built_while_nothing_moves, *arguments, ranks=2)
    assert found == [0, 0]
