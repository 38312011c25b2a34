"""Laws of the doctor's two sides: it runs with either, both and neither."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests import bare

from mementum import install
from mementum.doctor import command, jax_side, torch_side
from mementum.family.recipes import RECIPES, Recipe
from mementum.family.reference import State, update

CPU = SimpleNamespace(device_kind="cpu")


def module(name: str, **names: Any) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(names)
    return made


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put modules in the place of what is installed; one that is None is absent."""

    def put(**modules: ModuleType | None) -> None:
        for name, made in modules.items():
            monkeypatch.setitem(sys.modules, name.replace("__", "."), made)

    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    monkeypatch.setattr(torch_side, "report", lambda page: [])
    put(jax=jax(), jax__numpy=np, optax=module("optax"), mementum__optax=None)
    return put


def jax(**names: Any) -> ModuleType:
    there = {"default_backend": lambda: "cpu", "devices": lambda: [CPU, CPU]}
    return module("jax", **{**there, "enable_x64": None, **names})


def without_x64() -> ModuleType:
    made = jax()
    del made.enable_x64
    return made


def without_backend() -> ModuleType:
    def fails() -> str:
        raise RuntimeError("no TPU was found")

    return jax(default_backend=fails)


def member(recipe: Recipe, factor: float) -> Callable[[float], SimpleNamespace]:
    """Return a member whose update is the reference's, times a factor."""

    def step(grad: Any, state: Any, param: Any) -> tuple[Any, Any]:
        rule = recipe.function()
        start = State.start(param)
        end = update(rule.at(1, recipe.lr), grad, start, peak=rule.peak)
        return np.float32(factor * (end.p - start.p)), state

    return lambda learning_rate: SimpleNamespace(init=np.zeros_like, update=step)


def members(factor: float) -> ModuleType:
    built = {name.lower(): member(each, factor) for name, each in RECIPES.items()}
    return module("mementum.optax", **built)


def page(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("torch", [True, False])
@pytest.mark.parametrize("optax", [True, False])
@pytest.mark.parametrize("jax", [True, False])
def test_a_side_that_is_absent_is_named_and_wrong_only_if_both_are(
    torch: bool, jax: bool, optax: bool, here: Any, capsys: Any
) -> None:
    absent = {"torch": torch, "jax": jax, "optax": optax}
    here(**{name: None for name, there in absent.items() if not there})
    code = command.doctor()
    shown = page(capsys)
    assert code == (not torch and not (jax and optax))
    assert ("All is right." in shown) == (code == 0)
    assert ("Neither mementum.torch nor mementum.optax has" in shown) == (code == 1)
    ways = {"torch": torch, "jax": jax and optax}
    for extra, there in ways.items():
        line = f"none; {install.command(extra)} brings it"
        assert (line in shown) == (not there)


def test_jaxs_side_says_what_it_runs_on(here: Any, capsys: Any) -> None:
    assert command.doctor() == 0
    shown = page(capsys)
    for words in ("jaxlib ", "JAX's backend cpu", "JAX's devices 2 x cpu"):
        assert words in shown
    assert "jax.enable_x64 there" in shown
    assert "There is no mementum.optax here: no member's step is tried." in shown


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (without_x64, "JAX has no jax.enable_x64"),
        (without_backend, "JAX has no backend here: no TPU was found"),
    ],
)
def test_a_broken_jax_is_not_right(
    broken: Callable[[], ModuleType], words: str, here: Any, capsys: Any
) -> None:
    here(jax=broken())
    assert command.doctor() == 1
    assert f"1. {words}" in page(capsys)


def test_members_with_the_references_numbers_are_right(here: Any, capsys: Any) -> None:
    here(mementum__optax=members(1.0))
    assert command.doctor() == 0
    shown = page(capsys)
    assert "One step of each member of mementum.optax beside the reference" in shown
    for name in RECIPES:
        assert f"{name} 0." in shown


@pytest.mark.parametrize("factor", [1.0, 1.001, float("nan")])
def test_as_data_jaxs_side_tells_what_its_page_tells(
    factor: float, here: Any, capsys: Any
) -> None:
    here(mementum__optax=members(factor), torch=None)
    code = command.doctor(as_json=True)
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["torch"] is None
    assert told["jax"]["devices"] == {"cpu": 2}
    assert told["jax"]["enable_x64"] is True
    checks = told["jax"]["checks"]
    assert [each["name"] for each in checks] == list(RECIPES)
    assert {each["right"] for each in checks} == {factor == 1.0}
    assert len(told["findings"]) == (0 if factor == 1.0 else len(RECIPES))
    assert told["right"] == (code == 0) == (factor == 1.0)


@pytest.mark.parametrize("factor", [1.001, 0.99999, float("nan"), float("inf")])
def test_a_member_with_other_numbers_is_found(
    factor: float, here: Any, capsys: Any
) -> None:
    here(mementum__optax=members(factor))
    assert command.doctor() == 1
    shown = page(capsys)
    for name in RECIPES:
        assert f"mementum.optax.{name.lower()}: its step errs by " in shown


def test_a_member_that_is_not_there_is_found(here: Any, capsys: Any) -> None:
    here(mementum__optax=module("mementum.optax"))
    assert command.doctor() == 1
    assert "mementum.optax.adax: its step fails (AttributeError" in page(capsys)


def test_the_page_of_one_side_is_80_columns_wide(here: Any, capsys: Any) -> None:
    here(torch=None, mementum__optax=members(2.0))
    command.doctor()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80


@pytest.mark.skipif(
    find_spec("mementum.optax") is None or find_spec("jax") is None,
    reason="mementum.optax is not here",
)
@pytest.mark.parametrize("name", RECIPES)
def test_a_member_that_is_here_has_the_references_numbers(name: str) -> None:
    error = jax_side._error(name)
    assert isinstance(error, float), error
    assert error <= jax_side._ALLOWED


@pytest.mark.process
def test_jaxs_side_is_examined_where_there_is_no_torch(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    bare.laid_out(tmp_path)
    for path in Path(np.__file__).parents[1].iterdir():
        lies_there = (tmp_path / path.name).exists()
        if path.suffix != ".pth" and not lies_there and "torch" not in path.name:
            (tmp_path / path.name).symlink_to(path)
    done = bare.python(tmp_path, "-m", "mementum", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torch            none" in done.stdout
    assert f"jax              {importlib.metadata.version('jax')}" in done.stdout
    assert all(name in done.stdout for name in RECIPES)
