"""Without torch the theory is whole, and what needs torch says so in a sentence."""

from __future__ import annotations

import importlib
import json
import tomllib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tests import bare

import mementum
from mementum import cli, family, install, lab
from mementum import torch as ours
from mementum.family.recipes import RECIPES

# A conversion imports each side when it is called.
OF_TORCH = sorted(set(mementum.__all__) & set(ours.__all__) - {"convert"})
OF_THEORY = sorted(set(mementum.__all__) - set(OF_TORCH))
TORCHS_OF_CONVERT = ("Report", "adopt", "renamed")
ROOMS = ("mementum.torch", "mementum.torch.optimizers")
SUBCOMMANDS = cli.parser().commands
# What a command must be given to be run at all.
GIVEN = {
    "explain": ["AdaX"],
    "completion": ["bash"],
    "export": ["--to", "tables"],
    "merge": ["one", "--into", "two"],
    "query": ["SELECT 1"],
}
# Commands that need no torch, and their exit codes where there is neither side.
WITHOUT = {"completion": 0, "explain": 0, "doctor": 1, "help": 0}
TRIED = """
import importlib, json, sys
said = {}
for name in sys.argv[1:]:
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
        attribute and getattr(found, attribute)
    except ModuleNotFoundError as error:
        said[name] = [str(error), error.name]
    else:
        said[name] = None
print(json.dumps(said))
"""

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare.laid_out(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, list[str] | None]:
    """What each name says when it is asked for, or None where it is there."""
    names = [
        *(f"mementum:{name}" for name in mementum.__all__),
        *(f"mementum.family.{name}" for name in family.__all__),
        *(f"mementum.lab:{name}" for name in lab.__all__),
        *(f"mementum.convert:{name}" for name in TORCHS_OF_CONVERT),
        *ROOMS,
    ]
    done = bare.python(folder, "-c", TRIED, *names)
    assert not done.stderr
    answers: dict[str, list[str] | None] = json.loads(done.stdout)
    return answers


def needs(what: str, extra: str) -> list[str]:
    return [f"{what} needs torch: run {install.command(extra)}.", "torch"]


@pytest.mark.parametrize(
    "name",
    [
        *(f"mementum:{name}" for name in OF_THEORY),
        *(f"mementum.family.{name}" for name in family.__all__),
        "mementum.lab:LabError",
    ],
)
def test_the_theory_is_whole(name: str, said: dict[str, list[str] | None]) -> None:
    assert said[name] is None


@pytest.mark.parametrize("name", OF_TORCH)
def test_a_name_of_torch_names_itself_and_the_extra(
    name: str, said: dict[str, list[str] | None]
) -> None:
    assert said[f"mementum:{name}"] == needs(f"mementum.{name}", "torch")


@pytest.mark.parametrize("name", ROOMS)
def test_a_module_of_torch_names_its_room_and_the_extra(
    name: str, said: dict[str, list[str] | None]
) -> None:
    room = ".".join(name.split(".")[:2])
    assert said[name] == needs(room, "torch")


@pytest.mark.parametrize("name", TORCHS_OF_CONVERT)
def test_a_conversion_within_torch_names_itself_and_the_extra(
    name: str, said: dict[str, list[str] | None]
) -> None:
    whole = f"mementum.convert:{name}"
    assert said[whole] == needs(whole.replace(":", "."), "torch")


@pytest.mark.parametrize("name", lab.__all__)
def test_a_name_of_the_lab_is_there_or_names_the_labs_extra(
    name: str, said: dict[str, list[str] | None]
) -> None:
    assert said[f"mementum.lab:{name}"] in (None, needs(f"mementum.lab.{name}", "lab"))


@pytest.mark.parametrize("name", ["compare", "compare_model", "plan", "read"])
def test_what_the_lab_does_needs_torch(
    name: str, said: dict[str, list[str] | None]
) -> None:
    assert said[f"mementum.lab:{name}"] is not None


@pytest.mark.parametrize("name", ["", *SUBCOMMANDS])
def test_help_comes_within_80_columns(name: str, folder: Path) -> None:
    done = bare.python(folder, "-m", "mementum", *name.split(), "--help")
    assert done.returncode == 0
    assert not done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_a_command_runs_or_names_itself_and_the_extra(name: str, folder: Path) -> None:
    done = bare.python(folder, "-m", "mementum", name, *GIVEN.get(name, []))
    assert done.returncode == WITHOUT.get(name, 2)
    extra = "torch" if name == "bench" else "lab"
    sentence, _ = needs(f"mementum {name}: it", extra)
    assert done.stderr == ("" if name in WITHOUT else f"{sentence}\n")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_explained(name: str, folder: Path) -> None:
    done = bare.python(folder, "-m", "mementum", "explain", name)
    assert done.stdout.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("raise ImportError('libcudart is too old')", "libcudart is too old"),
        ("raise OSError('libtorch.so: no such file')", "libtorch.so: no such file"),
    ],
)
def test_a_broken_torch_is_not_a_missing_one(
    code: str, words: str, tmp_path: Path
) -> None:
    bare.package(bare.laid_out(tmp_path), "torch", code)
    for statement in (
        "from mementum import AdaX",
        "from mementum.convert import adopt",
    ):
        done = bare.python(tmp_path, "-c", statement)
        assert words in done.stderr.splitlines()[-1]
        assert "pip install" not in done.stderr
    done = bare.python(tmp_path, "-m", "mementum", "doctor")
    assert done.returncode == 1
    assert "torch            1.2\n" in done.stdout
    page = " ".join(done.stdout.split())
    assert "1. torch cannot be imported: " in page
    assert words in page


@pytest.mark.parametrize("package", install.PACKAGES["jax"])
def test_what_needs_jax_names_its_extra(package: str) -> None:
    with (
        pytest.raises(ModuleNotFoundError) as caught,
        install.needing("mementum.optax", "jax"),
    ):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    assert str(caught.value) == (
        f"mementum.optax needs {package}: run {install.command('jax')}."
    )


@pytest.mark.skipif(find_spec("mementum.optax") is None, reason="it is not here")
@pytest.mark.parametrize("package", install.PACKAGES["jax"])
def test_optaxs_room_names_the_package_that_is_missing(
    package: str, tmp_path: Path
) -> None:
    bare.laid_out(tmp_path)
    for other in {*install.PACKAGES["jax"]} - {package}:
        bare.package(tmp_path, other)
    done = bare.python(tmp_path, "-c", "import mementum.optax")
    sentence = f"mementum.optax needs {package}: run {install.command('jax')}."
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {sentence}"


def test_a_module_missing_elsewhere_is_nobodys_extra() -> None:
    with (
        pytest.raises(ModuleNotFoundError, match="No module named 'nowhere_at_all'"),
        install.needing("mementum.optax", "jax"),
    ):
        importlib.import_module("nowhere_at_all")


def test_numpy_alone_is_required() -> None:
    listed = map(Requirement, metadata.requires("mementum") or ())
    assert [each.name for each in listed if each.marker is None] == ["numpy"]


@pytest.mark.parametrize("extra", ["torch", "lab", "dask", "trainers", "test"])
def test_every_extra_that_needs_torch_brings_it(extra: str) -> None:
    page = Path(__file__).parents[1] / "pyproject.toml"
    extras = tomllib.loads(page.read_text("utf-8"))["project"]["optional-dependencies"]
    brought, asked = set(), [extra]
    while asked:
        for each in map(Requirement, extras[asked.pop()]):
            brought.add(each.name)
            asked += each.extras if each.name == "mementum" else ()
    assert "torch" in brought
