"""Steps under jit are measured beside optax's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mementum import cli
from mementum.family.recipes import RECIPES

pytest.importorskip("jax", reason="JAX is an extra")

from mementum.bench import jax as under_jit

SMALL = ((7, 5), (5,))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    request = under_jit.request
    monkeypatch.setattr(
        under_jit,
        "request",
        lambda classes, *, quick: under_jit.Request(
            request(classes, quick=quick).classes, rounds=(6, 1), shapes=SMALL
        ),
    )


def test_a_table_names_each_entrant_and_draws_its_ratio(
    small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "ratios.png"
    words = ["bench", "--jax", "--classes", "AMSGrad", "--plot", str(picture)]
    assert cli.main(words) == 0
    page = capsys.readouterr().out
    for name, form in (("optax amsgrad", "float32"), ("AMSGrad", "bfloat16")):
        assert any(line.split(form)[0].strip() == name for line in page.splitlines())
    assert max(map(len, page.splitlines())) <= 80
    assert picture.stat().st_size > 10_000


def test_json_has_the_machine_and_every_row(small, capsys) -> None:
    assert cli.main(["bench", "--jax", "--classes", "AdaXW", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["machine"]["elements"] == 40
    assert said["machine"]["leaves"] == 2
    assert [(row["name"], row["state"]) for row in said["rows"]] == [
        ("optax adamw", "float32"),
        ("AdaXW", "float32"),
        ("AdaXW", "bfloat16"),
    ]
    reference, *ours = said["rows"]
    assert reference["ratio"] is None
    assert all(row["ratio"]["median"] > 0 and row["compile"] > 0 for row in ours)


def test_the_tree_that_is_measured_has_four_million_parameters() -> None:
    elements = [rows * (columns or [1])[0] for rows, *columns in under_jit.SHAPES]
    assert (len(elements), sum(elements)) == (31, 4_195_840)


def test_all_members_are_measured_unless_some_are_named() -> None:
    assert under_jit.request(None, quick=False).classes == tuple(RECIPES)
    assert under_jit.request("AdaX,AdaX", quick=True).classes == ("AdaX",)
    with pytest.raises(ValueError, match="AdaX"):
        under_jit.request("AdaXX", quick=False)


@pytest.mark.parametrize(
    "words",
    [["--device", "cpu"], ["--formats", "float32"], ["--cases", "16m"], ["--in-loop"]],
    ids=lambda words: words[0],
)
def test_what_is_torchs_is_refused(words: list[str], capsys) -> None:
    assert cli.main(["bench", "--jax", *words]) == 2
    assert capsys.readouterr().err.startswith(
        f"mementum bench: {words[0]} is for steps of "
    )
