"""What a release has saved loads for ever, and goes on to the same bits."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.torch.cases import TORCHS, Options
from tests.torch.checkpoint.stored import FOLDER, RELEASE, next_step, settings

from mementum.family import noise
from mementum.torch import MEMBERS

FILES = sorted(FOLDER.glob("*/*.pt"))
OTHER_NOISE = [
    path
    for path in FILES
    if path.parent.name == "0.1.0" and path.stem.endswith(("bfloat16", "float8"))
]
paths = pytest.mark.parametrize(
    "flags", [{}, *TORCHS.values()], ids=["default", *TORCHS]
)


def kept(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


def stored_in(files: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "path", files, ids=lambda path: f"{path.parent.name} {path.stem}"
    )


@stored_in([path for path in FILES if path not in OTHER_NOISE])
@paths
def test_the_next_step_of_a_stored_run_is_bit_equal(path: Path, flags: Options) -> None:
    stored = kept(path)
    name, options = settings()[path.stem]
    assert next_step(name, options, stored["optimizer"], **flags) == stored["next"]


def keyed_by_text(identities: NDArray[np.uint64], step: int) -> NDArray[np.uint64]:
    """Return the keys that noise had in format 1."""
    text = f"step\n{step}\n".encode()
    hashed = int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
    x = identities ^ np.uint64(hashed)
    for shift, multiplier in (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(multiplier)
    return x ^ (x >> np.uint64(31))


@stored_in(OTHER_NOISE)
@paths
def test_the_next_step_after_a_change_of_noise_is_bit_equal_but_for_it(
    monkeypatch: pytest.MonkeyPatch, path: Path, flags: Options
) -> None:
    stored = kept(path)
    name, options = settings()[path.stem]
    with pytest.warns(UserWarning, match=f"^{name}: .* format 1, .* noise") as seen:
        other = next_step(name, options, stored["optimizer"], **flags)
    assert len(seen) == 1
    assert other != stored["next"]
    monkeypatch.setattr(noise, "keys", keyed_by_text)
    with pytest.warns(UserWarning, match="noise"):
        same = next_step(name, options, stored["optimizer"], **flags)
    assert same == stored["next"]


def test_every_class_in_every_format_is_stored() -> None:
    assert {path.stem for path in FILES if path.parent.name == RELEASE} == set(
        settings()
    )
    assert len(settings()) >= 3 * len(MEMBERS)
    assert len(OTHER_NOISE) == 2 * len(MEMBERS)
    assert sum(path.stat().st_size for path in FILES) < 600_000


@pytest.mark.parametrize("moment", ["step", "momentum", "square"])
def test_a_stored_hash_sees_every_part_of_the_state(moment: str) -> None:
    stored = kept(FOLDER / "0.1.0" / "AdaX-float32.pt")
    state = stored["optimizer"]["state"][1]
    state[moment] = state[moment] + 1
    name, options = settings()["AdaX-float32"]
    assert next_step(name, options, stored["optimizer"]) != stored["next"]
