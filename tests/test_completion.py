"""Laws of completion: a shell knows every command and option, and needs no shtab."""

from __future__ import annotations

import argparse
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mementum import cli, completion
from mementum.family.recipes import RECIPES

BACKEND = Path(__file__).parents[1] / "src" / "build_backend.py"
COMPLETE = """
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
$(complete -p mementum | sed 's/.*-F \\([^ ]*\\) .*/\\1/') mementum "${@: -1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def commands(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with its options."""
    yield name, [each for action in parser._actions for each in action.option_strings]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, command in action.choices.items():
                yield from commands(command, word)


COMMANDS = dict(commands(cli.parser()))


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    path = tmp_path_factory.mktemp("shell") / "mementum.bash"
    path.write_text(completion.script("bash"), "utf-8")
    return path


def completed(script: Path, line: str) -> list[str]:
    """Return what bash offers for the last word of a line."""
    words = ["mementum", *shlex.split(line)] + [""] * (line[-1:] in ("", " "))
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", str(script), *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=script.parent,
        timeout=60,
    )
    # compopt speaks of no completion where none is under way.
    assert not done.stderr.replace("compopt", ""), done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_scripts_are_those_of_the_parser(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("shtab")
    made = runpy.run_path(str(BACKEND))["script"](shell)
    assert cli.main(["completion", shell]) == 0
    again = "an option has changed: `python src/build_backend.py` makes them again"
    assert capsys.readouterr().out == made, again


@pytest.mark.parametrize("shell", completion.SHELLS)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_script_knows_every_command_and_option(name: str, shell: str) -> None:
    script = completion.script(shell)
    assert name in script
    for option in COMMANDS[name]:
        # fish has names of options without their dashes.
        assert (option if shell != "fish" else f" {option.lstrip('-')} ") in script


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_shell_can_read_its_script(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    path = tmp_path / "script"
    path.write_text(completion.script(shell), "utf-8")
    subprocess.run([shell, "-n", str(path)], check=True)


@pytest.mark.process
def test_bash_offers_the_commands(bash: Path) -> None:
    assert set(completed(bash, "")) >= set(COMMANDS) - {""}
    assert completed(bash, "doc") == ["doctor"]
    assert completed(bash, "completion ") == list(completion.SHELLS)
    assert completed(bash, "explain AdaM") == ["AdaMomentum"]
    assert set(completed(bash, "explain Adam ")) >= set(RECIPES)


@pytest.mark.process
@pytest.mark.parametrize("name", COMMANDS)
def test_bash_offers_every_option_of_a_command(name: str, bash: Path) -> None:
    options = [each for each in COMMANDS[name] if each.startswith("--")]
    assert set(completed(bash, f"{name} --".lstrip())) >= set(options)


@pytest.mark.process
def test_bash_offers_files_where_a_file_is_asked_for(bash: Path) -> None:
    assert completed(bash, "compare --task mem") == [bash.name]
    assert completed(bash, "merge --into mem") == []


def test_without_a_script_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(completion, "__file__", str(tmp_path / "__init__.py"))
    assert cli.main(["completion", "fish"]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert "completion fish: the script was not made" in shown.err
    assert "pip install --force-reinstall" in shown.err


@pytest.mark.process
def test_the_scripts_are_made_of_the_standard_library_and_shtab(tmp_path: Path) -> None:
    """A build has nothing else: neither NumPy nor torch."""
    shtab = pytest.importorskip("shtab")
    (tmp_path / "shtab").symlink_to(Path(shtab.__file__).parent)
    code = "import build_backend as b; print(b.script('bash'), end='')"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": f"{BACKEND.parent}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == completion.script("bash")
