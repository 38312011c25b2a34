"""What a release has saved loads for ever, and goes on to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.torch.cases import TORCHS, Options
from tests.torch.checkpoint.stored import FOLDER, RELEASE, next_step, settings

from mementum.torch import MEMBERS

FILES = sorted(FOLDER.glob("*/*.pt"))
paths = pytest.mark.parametrize(
    "flags", [{}, *TORCHS.values()], ids=["default", *TORCHS]
)


def kept(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.name} {path.stem}"
)
@paths
def test_the_next_step_of_a_stored_run_is_bit_equal(path: Path, flags: Options) -> None:
    stored = kept(path)
    name, options = settings()[path.stem]
    assert next_step(name, options, stored["optimizer"], **flags) == stored["next"]


def test_every_class_in_every_format_is_stored() -> None:
    assert {path.stem for path in FILES if path.parent.name == RELEASE} == set(
        settings()
    )
    assert len(settings()) >= 3 * len(MEMBERS)
    assert sum(path.stat().st_size for path in FILES) < 300_000


@pytest.mark.parametrize("moment", ["step", "momentum", "square"])
def test_a_stored_hash_sees_every_part_of_the_state(moment: str) -> None:
    stored = kept(FOLDER / "0.1.0" / "AdaX-float32.pt")
    state = stored["optimizer"]["state"][1]
    state[moment] = state[moment] + 1
    name, options = settings()["AdaX-float32"]
    assert next_step(name, options, stored["optimizer"]) != stored["next"]
