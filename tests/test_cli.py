"""``mementum explain`` prints what a rule does, and draws what it remembers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from mementum import cli
from mementum.family import picture
from mementum.family.memory import Memory
from mementum.family.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_explained_within_80_columns(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", name.lower()]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"{name}: ")
    assert RECIPES[name].paper in page
    assert all(f" {number} " in page for number in ("take_v", "step_m", "eps_in"))
    assert max(map(len, page.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["explain", "Adma"], "no optimizer is named 'Adma'; did you mean Adam"),
        (["explain", "zzz"], "there are Adam, AdamW, AMSGrad"),
        (["explain", "Adam", "--step", "0"], "--step is 0; the first step is 1."),
        (["explain", "Adam", "--lr", "nan"], "lr is nan"),
        (["explain", "Adam", "--plot", "pic"], "pic is no picture file"),
        (["explain", "Adam", "--plot", "no/where.png"], "there is no such folder"),
        (["explain", "Adam", "--plot", "."], ". is no picture file"),
    ],
)
def test_a_bad_argument_is_answered_in_a_sentence(
    arguments: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert answer in shown.err
    assert not shown.out


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_the_memory_is_drawn_in_the_file_named(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"memory{ending}"
    assert cli.main(["explain", "Adam", "AdaX", "--plot", str(path)]) == 0
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_size > 5_000


def test_without_matplotlib_a_picture_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ModuleNotFoundError, match=r"needs matplotlib: run `pip install .*lab"
    ):
        picture.draw({"Adam": Memory.adam(0.999)}, tmp_path / "memory.png")


def test_as_data_an_explanation_has_the_numbers_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = ["--plot", str(tmp_path / "memory.svg")]
    assert cli.main(["explain", *RECIPES, "--json", "--step", "3", *plot]) == 0
    shown = capsys.readouterr()
    explained = json.loads(shown.out, parse_constant=pytest.fail)
    assert [each["name"] for each in explained] == list(RECIPES)
    for each in explained:
        recipe = RECIPES[each["name"]]
        numbers = recipe.function().at(3, recipe.lr)._asdict()
        assert each["numbers"] == numbers
        assert each["hyperparameters"]["lr"] == recipe.lr
    assert "memory.svg" in shown.err
