"""The state dicts of a release, kept in files; `main` writes those that are missing.

A file holds a state dict and the hash of all that the next step makes of it, on
parameters and gradients of plain arithmetic that no release of torch can change.
A file that is there is never written again.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

import torch
from tests.torch.cases import MEMBERS, bits_of, drive
from torch import Tensor

from mementum import Memory
from mementum.torch import FORMATS, FamilyOptimizer

FOLDER = Path(__file__).parents[2] / "checkpoints"
# A release's folder, and what a state dict of it means where that changed on the way.
RELEASE = "0.1.0-format-2"
STEPS = 3

_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "AMSGrad": [{"variant": word} for word in ("torch", "optax")],
    "Mementum": [
        {"memory": Memory.adax(0.01), "square_of": "momentum", "peak": True},
        {"memory": 0.99, "square_of": "residual", "debias_momentum": False},
    ],
}


def settings() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the file name of each stored state dict, its class and its options."""
    named: dict[str, tuple[str, dict[str, Any]]] = {}
    for member in MEMBERS:
        name = member.__name__
        for state_dtype in FORMATS:
            named[f"{name}-{state_dtype}"] = name, {"state_dtype": state_dtype}
        named[f"{name}-capturable"] = name, {"capturable": True}
        for i, options in enumerate(_OPTIONS.get(name, ()), start=1):
            named[f"{name}-options{i}"] = name, options
    return named


def number(seed: str, shape: tuple[int, ...]) -> Tensor:
    """Return numbers between -1 and 1 that a float32 holds exactly."""
    count = torch.Size(shape).numel()
    mixed = torch.arange(1, count + 1) * 2654435761 + zlib.crc32(seed.encode())
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFF
    return (mixed.to(torch.float64) / 2**19 - 1).to(torch.float32).view(shape)


def built(name: str, options: dict[str, Any]) -> FamilyOptimizer:
    """Return an optimizer of two named groups; float8 has a parameter of blocks."""
    eights = options.get("state_dtype") == "float8"
    shapes = [(16, 256) if eights else (3, 4), (5,), ()]
    params = {f"p{i}": number(f"p{i}", shape) for i, shape in enumerate(shapes)}
    named = [(key, param.requires_grad_()) for key, param in params.items()]
    groups = [{"params": named[:2]}, {"params": named[2:], "lr": 0.25}]
    member = next(each for each in MEMBERS if each.__name__ == name)
    return member(groups, weight_decay=0.125, **options)


def trained(optimizer: FamilyOptimizer, first: int, last: int) -> FamilyOptimizer:
    params = [param for _, param in optimizer.named_params()]
    for t in range(first, last):
        drive(
            optimizer,
            params,
            [[number(f"{t} {i}", tuple(p.shape)) for i, p in enumerate(params)]],
        )
    return optimizer


def next_step(
    name: str, options: dict[str, Any], saved: dict[str, Any], **flags: Any
) -> str:
    """Return the hash of everything after a step from what was saved.

    The numbers of that step are computed on the host, where no processor differs.
    """
    optimizer = built(name, options)
    optimizer.load_state_dict(saved)
    for group in optimizer.param_groups:
        group.update({"capturable": False} | flags)
    return digest(trained(optimizer, STEPS, STEPS + 1))


def digest(optimizer: FamilyOptimizer) -> str:
    hashed = hashlib.sha256()
    for value in bits_of(optimizer):
        if isinstance(value, Tensor):
            flat = value.contiguous().view(-1).view(torch.uint8)
            hashed.update(flat.numpy().tobytes())
        else:
            hashed.update(repr(value).encode())
    return hashed.hexdigest()


def main() -> None:
    folder = FOLDER / RELEASE
    folder.mkdir(parents=True, exist_ok=True)
    for file, (name, options) in settings().items():
        path = folder / f"{file}.pt"
        if path.exists():
            continue
        saved = trained(built(name, options), 0, STEPS).state_dict()
        kept = {"optimizer": saved, "next": next_step(name, options, saved)}
        torch.save(kept, path)
        print(path.stat().st_size, path.name)


if __name__ == "__main__":
    main()
