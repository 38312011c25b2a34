"""Laws of the command line, and of ``mementum explain``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from mementum import cli
from mementum.cli import misspelt
from mementum.family import picture
from mementum.family.memory import Memory
from mementum.family.recipes import RECIPES

ROOT = cli.parser()
PAGES = {"mementum": ROOT} | {
    f"mementum {name}": ROOT.commands[name] for name in ROOT.commands
}


def said(
    words: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> tuple[object, str, str]:
    """The exit code of a command line, and what it prints."""
    try:
        code: object = cli.main(words)
    except SystemExit as left:
        code = left.code
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.mark.parametrize("words", [[], ["help"], ["--help"]], ids=" ".join)
def test_without_a_command_help_is_printed(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(words, capsys)
    assert (code, err) == (0, "")
    assert out.startswith("usage: mementum [-h]")
    assert len(examples(ROOT)) == 3


@pytest.mark.parametrize("name", ROOT.commands)
def test_help_of_a_command_is_its_own_page(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(["help", name], capsys) == said([name, "--help"], capsys)


def examples(page: argparse.ArgumentParser) -> list[list[str]]:
    """The words of each example of a page of help."""
    _, _, lines = page.format_help().partition("\nexamples:\n")
    return [shlex.split(line) for line in lines.splitlines()]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_examples_that_are_parsed(name: str) -> None:
    shown = examples(PAGES[name])
    assert shown
    for first, *words in shown:
        assert first == "mementum"
        assert name.partition(" ")[2] in ("", words[0])
        ROOT.parse_args(words)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_80_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = PAGES[name]
    assert max(map(len, page.format_help().splitlines())) <= 80
    assert len(page.format_usage().splitlines()) <= 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "compar",
            "mementum: compar is no command; did you mean compare or completion?",
        ),
        (
            "help compar",
            "mementum: compar is no command; did you mean compare or completion?",
        ),
        ("--verison", "mementum: --verison is no option; did you mean --version?"),
        (
            "merge a --inot b",
            "mementum merge: --inot is no option; did you mean --into?",
        ),
        (
            "status --jsno=1",
            "mementum status: --jsno is no option; did you mean --json?",
        ),
        (
            "tasks -v",
            "mementum tasks: -v is no option; `mementum tasks --help` lists those there are.",
        ),
    ],
)
def test_what_is_mistyped_is_answered_with_the_nearest(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(words.split(), capsys) == (2, "", f"{sentence}\n")


def test_a_mistyped_option_comes_with_all_that_may_be_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, _, err = said(["compare", "--taks", "quad"], capsys)
    assert "--task or --tasks" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("query", "SQL is missing."),
        ("merge", "FOLDER and --into are missing."),
        ("explain Adam --step two", "--step is two; give a whole number."),
        ("explain Adam --lr much", "--lr is much; give a number."),
        ("export --to x --format xml", "--format is xml; choose from parquet, csv."),
        ("compare --seeds", "--seeds wants a value."),
        ("status --json=3", "--json takes no value, and is given 3."),
        ("query a b c", "c is a word too many."),
    ],
)
def test_what_cannot_be_parsed_is_a_line_of_usage_and_a_sentence(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(words.split(), capsys)
    command = words.split()[0]
    assert (code, out) == (2, "")
    assert err.startswith(f"usage: mementum {command} ")
    assert err.endswith(f"\nmementum {command}: {sentence}\n")


ABOVE = Path(__file__).parents[1]
DOCUMENTS = [ABOVE / "README.md", *sorted(ABOVE.glob("docs/**/*.md"))]
COMMAND = re.compile(r"(?:^    |`)mementum ([a-z]+[^`\n]*)", re.MULTILINE)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_the_documents_name_commands_and_options_that_there_are(path: Path) -> None:
    for line in COMMAND.findall(path.read_text("utf-8")):
        misspelt.check(ROOT, shlex.split(line, comments=True))


def test_a_query_may_begin_with_dashes() -> None:
    assert ROOT.parse_args(["query", "-- all\nFROM runs"]).sql.startswith("--")


@pytest.mark.parametrize("name", ["explain", "bench", "doctor", "tasks", "status"])
def test_ctrl_c_is_130_without_a_traceback(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    page = cli.parser()
    page.commands[name].set_defaults(run=stopped)
    monkeypatch.setattr("mementum.cli.root.parser", lambda: page)
    words = [name, "Adam"] if name == "explain" else [name]
    assert said(words, capsys) == (130, "", "")


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
        (
            ["explain", "Adam", "--lr", "nan"],
            "--lr is nan; give a finite number, 0 or more.",
        ),
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
    assert shown.err.startswith("mementum explain: ")
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
