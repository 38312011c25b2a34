"""torch's ways to train in parallel change nothing about a step."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from tests.distributed import programs, trainings
from tests.distributed.models import SETTINGS
from tests.distributed.pool import Pool
from tests.distributed.programs import WORLD, differing
from tests.distributed.trainings import WAYS

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("distributed")]
settings = pytest.mark.parametrize("name", SETTINGS)
ways = pytest.mark.parametrize("way", WAYS)


@settings
@ways
def test_a_sharded_model_is_stepped_as_the_whole_is(
    pool: Pool, way: str, name: str
) -> None:
    assert pool.run(trainings.given_gradients, way, name) == [True] * WORLD


@pytest.mark.parametrize("way", ["FSDP", "DDP"])
def test_two_processes_with_the_same_data_train_as_one(pool: Pool, way: str) -> None:
    assert pool.run(trainings.own_gradients, way, ranks=2) == [True] * 2


@pytest.mark.parametrize("flags", [{"foreach": True}, {"foreach": False}], ids=str)
def test_dtensors_and_plain_parameters_share_a_group(
    pool: Pool, flags: dict[str, bool]
) -> None:
    bad = pool.run(differing, "rows over 4", torch.float32, flags, 2)
    assert bad == [[]] * WORLD


@settings
def test_zero_redundancy_changes_nothing_at_any_number_of_processes(
    pool: Pool, name: str, tmp_path: Path
) -> None:
    saved = str(tmp_path / "state")
    assert pool.run(trainings.zero, name, 3, saved, ranks=3) == [True] * 3
    assert pool.run(trainings.zero_resumed, name, 2, saved, ranks=2) == [True] * 2


@settings
@pytest.mark.parametrize("way", [None, *WAYS])
def test_asking_for_a_state_dict_before_the_first_step_changes_nothing(
    pool: Pool, way: str | None, name: str
) -> None:
    ranks = WORLD if way else 1
    changed = pool.run(trainings.asked_before_the_first_step, name, way, ranks=ranks)
    assert changed == [[]] * ranks


@settings
@pytest.mark.parametrize("form", ["whole", "flattened"])
def test_a_state_dict_is_loaded_in_whatever_form(
    pool: Pool, name: str, form: str
) -> None:
    assert pool.run(trainings.loaded_elsewhere, name, form) == [[]] * WORLD


@pytest.mark.parametrize("layout", ["rows over 4", "copies of rows", "rows of columns"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_gradient_in_one_process_is_bad_in_all(
    pool: Pool, layout: str, value: float
) -> None:
    told = pool.run(trainings.spoilt, "skip", value, layout)
    assert told == [("", 1, True)] * WORLD
    told = pool.run(trainings.spoilt, "raise", value, layout)
    assert len(set(told)) == 1
    error, skipped, unchanged = told[0]
    assert error.startswith("Adam: the gradient of parameter 1 of group 0 is infinite")
    assert (skipped, unchanged) == (0, True)


def test_a_gradient_that_is_not_yet_summed_is_summed(pool: Pool) -> None:
    assert pool.run(trainings.sums_not_taken, ranks=2) == [True] * 2


REFUSED: dict[str, tuple[tuple[int, ...], str, dict[str, object], str]] = {
    "a block in two processes": (
        (17, 300),
        "columns over 3",
        {"state_dtype": "float8"},
        "ValueError: AdaX: parameter 'weight': .* cuts blocks of 256 .*'bfloat16'",
    ),
    "blocks that are shared out otherwise": (
        (8, 4, 512),
        "columns over 3",
        {"state_dtype": "float8"},
        "ValueError: AdaX: parameter 'weight': state_dtype is 'float8'",
    ),
    "a derivative": (
        (4, 2),
        "rows over 2",
        {"differentiable": True},
        "NotImplementedError: AdaX: differentiable is True and parameter 'weight' is",
    ),
    "whole blocks": ((17, 768), "columns over 3", {"state_dtype": "float8"}, "$"),
    "whole rows": ((17, 300), "rows over 3", {"state_dtype": "float8"}, "$"),
    "small moments": ((3, 30), "columns over 3", {"state_dtype": "float8"}, "$"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_sharded_is_refused_everywhere(pool: Pool, case: str) -> None:
    shape, layout, options, words = REFUSED[case]
    ranks = programs.size_of(layout)
    errors = pool.run(trainings.refused, shape, layout, options, ranks=ranks)
    assert len(set(errors)) == 1
    assert re.match(words, errors[0])


def test_a_gradient_over_other_processes_is_refused(pool: Pool) -> None:
    for error in pool.run(trainings.gradient_elsewhere, ranks=2):
        assert re.match(r"Adam: the gradient of a parameter of shape \(4, 2\)", error)


def test_moments_spread_otherwise_are_refused(pool: Pool) -> None:
    for error in pool.run(trainings.moments_elsewhere, ranks=2):
        assert "Adam" in error
        assert "spread over processes in another way" in error
