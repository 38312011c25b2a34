"""Optimizers made from command lines and YAML files, by the path of their class."""

from __future__ import annotations

import ast
import itertools
import logging
import shlex
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, members
from tests.trainers import pages
from tests.trainers.work import ROWS, network, rows
from torch.utils.data import DataLoader

from mementum.torch import AdaXW, FamilyOptimizer

pytestmark = [
    pytest.mark.process,
    # As in the tests of Lightning's Trainer.
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]


@pytest.fixture(scope="module", autouse=True)
def _libraries(loaded: Callable[[str], None]) -> None:
    loaded("lightning.pytorch.cli")
    loaded("hydra.utils")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def option(optimizer: FamilyOptimizer, name: str) -> Any:
    return optimizer.param_groups[0][name]


def indented(page: str, start: str) -> list[str]:
    """Return a page's indented lines that begin so."""
    lines = (pages.DOCS / "trainers" / page).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.startswith(f"    {start}")]


# LightningCLI

QUIET = (
    "--seed_everything=false",
    "--trainer.accelerator=cpu",
    "--trainer.logger=false",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.enable_checkpointing=false",
    "--trainer.max_epochs=1",
)


def of_command(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FamilyOptimizer:
    """Run the page's program with these words, and return the optimizer."""
    monkeypatch.chdir(tmp_path)
    # Lightning calls jsonargparse by names that are about to go.
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    monkeypatch.setattr(sys, "argv", ["train.py", "fit", *QUIET, *words])
    space = pages.run(
        "trainers/lightning_cli.md",
        model=network(),
        loader=DataLoader(rows(), batch_size=ROWS),
        loss_of=torch.nn.functional.cross_entropy,
    )
    [optimizer] = space["cli"].trainer.optimizers
    assert isinstance(optimizer, FamilyOptimizer)
    assert optimizer.telemetry().flat()["overall/steps"] > 0
    return optimizer


def commands() -> list[list[str]]:
    """Return the words that the page's commands give to `fit`."""
    lines = indented("lightning_cli.md", "python train.py fit")
    return [shlex.split(line)[3:] for line in lines]


@pytest.mark.parametrize("words", commands()[:2], ids=["rate", "betas"])
def test_the_commands_of_the_page_run(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer = of_command(words, tmp_path, monkeypatch)
    assert type(optimizer) is AdaXW
    told = dict(itertools.pairwise(words))
    assert option(optimizer, "betas") == (0.9, 1e-4)
    assert option(optimizer, "lr") == float(told.get("--optimizer.lr", 5e-3))
    assert option(optimizer, "state_dtype") == told.get("--optimizer.state_dtype")


def test_the_file_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [words] = [words for words in commands() if words[0] == "--config"]
    [text] = pages.blocks("trainers/lightning_cli.md", "yaml")
    # Not config.yaml itself, which Lightning writes.
    (tmp_path / "given.yaml").write_text(text, encoding="utf-8")
    optimizer = of_command([words[0], "given.yaml"], tmp_path, monkeypatch)
    assert option(optimizer, "stochastic_rounding") is True
    assert option(optimizer, "state_dtype") == "bfloat16"
    assert option(optimizer, "lr") == 1e-3


@members
def test_every_class_is_taken_with_its_flags(
    member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--optimizer", f"mementum.{member.__name__}"]
    words += ["--optimizer.state_dtype", "torch.bfloat16", "--optimizer.seed", "3"]
    words += ["--optimizer.clip_norm", "1.0", "--optimizer.nonfinite", "skip"]
    optimizer = of_command(words, tmp_path, monkeypatch)
    assert type(optimizer) is member
    assert option(optimizer, "state_dtype") == "bfloat16"
    assert option(optimizer, "clip_norm") == 1.0
    assert option(optimizer, "seed") == 3


@pytest.mark.parametrize("word", ["--optimizer.memori", "--optimizer.lr"])
def test_what_the_class_does_not_take_is_refused(
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--optimizer", "mementum.AdaXW", word, "much"]
    with pytest.raises(SystemExit):
        of_command(words, tmp_path, monkeypatch)
    assert word.rpartition(".")[2] in capsys.readouterr().err


# Hydra


def test_the_page_of_hydra_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(pages.blocks("trainers/hydra.md", "yaml"))
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    first, second = pages.blocks("trainers/hydra.md", "python")
    space = pages.run_text("trainers/hydra.md", first, model=network())
    optimizer = space["optimizer"]
    assert type(optimizer) is AdaXW
    assert option(optimizer, "lr") == 1e-3
    assert option(optimizer, "betas") == (0.9, 1e-4)
    assert type(option(optimizer, "betas")) is tuple
    assert option(optimizer, "state_dtype") == "bfloat16"
    by_name = pages.run_text("trainers/hydra.md", second, **space)["optimizer"]
    assert type(by_name) is AdaXW
    assert [group["weight_decay"] for group in by_name.param_groups] == [0.1, 0.0]


@members
def test_values_of_omegaconf_leave_no_trace(member: Member, tmp_path: Path) -> None:
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    target = {"_target_": f"mementum.{member.__name__}", "_partial_": True}
    standing = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in member.recipe.defaults.items()
    }
    config = OmegaConf.create({**target, **standing, "state_dtype": "float8"})
    model = network()
    optimizer = instantiate(config)(model.parameters())
    plain = member(network().parameters(), state_dtype="float8")
    assert optimizer.state_dict() == plain.state_dict()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    torch.load(tmp_path / "state.pt", weights_only=True)


# Dotted paths


def in_sd_scripts(words: list[str], params: Any) -> torch.optim.Optimizer:
    """Make an optimizer as sd-scripts does of its options."""
    options = {name: [] for name in words if name.startswith("--")}
    for word in words:
        if word.startswith("--"):
            current = options[word]
        else:
            current.append(word)
    folder, _, name = options["--optimizer_type"][0].rpartition(".")
    pairs = (word.split("=") for word in options.get("--optimizer_args", []))
    arguments = {name: ast.literal_eval(value) for name, value in pairs}
    [rate] = options.get("--learning_rate", ["1e-3"])
    return getattr(import_module(folder), name)(params, lr=float(rate), **arguments)


def in_torchtune(text: str, params: Any) -> torch.optim.Optimizer:
    """Make an optimizer as torchtune does of its file."""
    from omegaconf import OmegaConf

    config = OmegaConf.create(text).optimizer
    folder, _, name = config["_component_"].rpartition(".")
    arguments = {key: value for key, value in config.items() if key != "_component_"}
    return getattr(import_module(folder), name)(params, **arguments)


def groups() -> list[dict[str, Any]]:
    return [{"params": [*network().parameters()], "lr": 5e-4}]


def test_the_arguments_of_sd_scripts_are_taken() -> None:
    lines = indented("dotted_paths.md", "--optimizer_")
    optimizer: Any = in_sd_scripts(shlex.split(" ".join(lines)), groups())
    assert type(optimizer) is AdaXW
    assert optimizer.defaults["lr"] == 1e-3
    assert option(optimizer, "lr") == 5e-4
    assert option(optimizer, "betas") == (0.9, 1e-4)
    assert option(optimizer, "weight_decay") == 0.05
    assert option(optimizer, "state_dtype") == "bfloat16"
    # What its own trainers ask of an optimizer.
    assert not hasattr(optimizer, "train")
    assert type(optimizer).__module__ == "mementum"


@pytest.mark.parametrize("word", ["'torch.bfloat16'", '"bfloat16"', "'float8'", "None"])
def test_a_format_is_taken_as_a_literal(word: str) -> None:
    words = ["--optimizer_type", "mementum.AdaXW", "--optimizer_args"]
    optimizer: Any = in_sd_scripts([*words, f"state_dtype={word}"], groups())
    plain = ast.literal_eval(word)
    assert option(optimizer, "state_dtype") == (plain and plain.split(".")[-1])


def test_a_format_without_quotes_is_no_literal() -> None:
    words = ["--optimizer_type", "mementum.AdaXW", "--optimizer_args"]
    with pytest.raises(ValueError, match="malformed node"):
        in_sd_scripts([*words, "state_dtype=torch.bfloat16"], groups())


@pytest.mark.parametrize("alone", [False, True], ids=["all", "one a parameter"])
def test_the_file_of_torchtune_is_taken(alone: bool) -> None:
    [text] = pages.blocks("trainers/dotted_paths.md", "yaml")
    params = [*network().parameters()]
    for some in [[param] for param in params] if alone else [params]:
        optimizer: Any = in_torchtune(text, some)
        assert type(optimizer) is AdaXW
        assert option(optimizer, "betas") == (0.9, 1e-4)
        assert option(optimizer, "state_dtype") == "bfloat16"
        for param in some:
            param.grad = torch.ones_like(param)
        optimizer.step()


def test_what_another_optimizer_was_told_is_taken_or_refused_by_name() -> None:
    [text] = pages.blocks("trainers/dotted_paths.md", "yaml")
    optimizer: Any = in_torchtune(f"{text}  fused: true\n", network().parameters())
    assert option(optimizer, "fused") is True
    with pytest.raises(TypeError, match="AdaXW has no argument 'block_size'"):
        in_torchtune(f"{text}  block_size: 256\n", network().parameters())
