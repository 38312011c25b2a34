"""The programs in the documentation run as they stand there."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.trainers import pages
from torch import nn

import mementum


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the pages take as the reader's own."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 10))
    loader = [(torch.randn(4, 64), torch.tensor([0, 1, 2, 3])) for _ in range(3)]

    def loss_of(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> Any:
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    return {
        "torch": torch,
        "mementum": mementum,
        "AdaX": mementum.AdaX,
        "AdaXW": mementum.AdaXW,
        "model": model,
        "loader": loader,
        "micro_batches": loader,
        "loss_of": loss_of,
        "loss": loss_of(model, loader[0]),
    }


def moved(space: dict[str, Any], before: torch.Tensor) -> bool:
    return not torch.equal(space["model"][0].weight, before)


def test_those_of_checkpoints(names: dict[str, Any]) -> None:
    model = names["model"]
    adamw = torch.optim.AdamW(model.named_parameters())
    model(torch.ones(1, 64)).sum().backward()
    adamw.step()
    program = "\n".join(
        line
        for line in pages.program("training/checkpoints.md").splitlines()
        if "if there is one" not in line
    )
    own = {"path": "run.pt", "adamw": adamw, "state": adamw.state_dict()}
    space = pages.run_text("training/checkpoints.md", program, **names, **own)
    assert type(space["adamw"]) is torch.optim.AdamW
    assert space["optimizer"].state[model[0].weight]["step"] == 1


def test_those_of_steps(names: dict[str, Any]) -> None:
    before = names["model"][0].weight.detach().clone()
    with warnings.catch_warnings():
        # Without CUDA the scaler says that it does nothing.
        warnings.filterwarnings("ignore", message="torch.cuda.amp.GradScaler")
        warnings.filterwarnings("ignore", message=".*CUDA is not available")
        space = pages.run("training/steps.md", **names)
    assert moved(space, before)
    assert all(param.grad is None for param in space["model"].parameters())


def test_that_of_which_optimizer(names: dict[str, Any]) -> None:
    space = pages.run("which_optimizer.md", **names)
    assert [group["weight_decay"] for group in space["optimizer"].param_groups] == [
        0.05,
        0.0,
    ]


def test_those_of_telemetry(names: dict[str, Any]) -> None:
    logged: list[dict[str, float]] = []
    optimizer = mementum.AdaX(names["model"].parameters())
    names["loss"].backward()
    optimizer.step()

    class Logger:
        log = logged.append

    # The rest wants a trainer, and runs among the tests of those.
    program, _, _ = pages.program("training/telemetry.md").partition(
        "from mementum.torch"
    )
    pages.run_text(
        "training/telemetry.md", program, **names, optimizer=optimizer, logger=Logger
    )
    assert logged
