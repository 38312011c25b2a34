"""Store what the torch optimizers compute: ``python -m tests.optax.store_torch_bits``.

The file is for ever: a change of it is a change of bits, and wants a reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tests.optax import settings
from tests.optax.settings import CASES, RUNS, Options

import mementum.torch
from mementum.family.recipes import RECIPES

BITS = Path(__file__).parent / "torch_bits.npz"


def options_of_torch(name: str, options: Options) -> Options:
    """Return a setting in the words of the torch classes."""
    own = dict(options)
    if name == "AdamNC" and "b1" in own:
        own["momentum"] = own.pop("b1")
    betas = list(RECIPES[name].defaults.get("betas", ()))
    for i, beta in enumerate(("b1", "b2")):
        if beta in own:
            betas[i] = own.pop(beta)
    return own | ({"betas": tuple(betas)} if betas else {})


def begun(name: str, options: Options, run: Options) -> tuple[Any, list[Any]]:
    """Return an optimizer, and its parameters, before the first step."""
    dtype = torch.bfloat16 if run["low"] else torch.float32
    start = settings.start()
    params = [
        torch.nn.Parameter(torch.tensor(each).to(dtype))
        for each in (
            map(settings.cut, start.values()) if run["low"] else start.values()
        )
    ]
    member = getattr(mementum.torch, name)
    optimizer = member(
        list(zip(start, params, strict=True)),
        lr=RECIPES[name].lr,
        state_dtype=run["state_dtype"],
        stochastic_rounding=run["low"],
        **options_of_torch(name, options),
    )
    return optimizer, params


def drive(optimizer: Any, params: list[Any], steps: range, *, low: bool) -> None:
    """Take steps with the gradients that belong to them."""
    for step in steps:
        grads = settings.gradients(step).values()
        for param, grad in zip(params, grads, strict=True):
            own = settings.cut(grad) if low else grad
            param.grad = torch.tensor(own).to(param.dtype)
        optimizer.step()


def bits(tensor: Any) -> NDArray[Any]:
    """Return the patterns of a tensor's numbers."""
    words = {torch.float32: torch.int32, torch.bfloat16: torch.int16}
    array: NDArray[Any] = tensor.detach().reshape(-1).view(words[tensor.dtype]).numpy()
    return array.view(np.uint32 if tensor.dtype == torch.float32 else np.uint16)


def standing(optimizer: Any, params: list[Any]) -> dict[str, NDArray[Any]]:
    """Return the bits of all parameters and moments, each kind in one array."""
    kinds: dict[str, list[NDArray[Any]]] = {}
    for param in params:
        kept = {"param": param, **optimizer.state[param]}
        for kind, tensor in kept.items():
            if isinstance(tensor, torch.Tensor):
                kinds.setdefault(kind, []).append(bits(tensor))
    return {kind: np.concatenate(parts) for kind, parts in kinds.items()}


def main() -> None:
    """Write the file."""
    arrays = {}
    for title, name, options in CASES:
        run = RUNS[title]
        optimizer, params = begun(name, options, run)
        drive(optimizer, params, range(1, run["steps"] + 1), low=run["low"])
        for kind, array in standing(optimizer, params).items():
            arrays[f"{title}/{settings.named(name, options)}/{kind}"] = array
    np.savez_compressed(BITS, **arrays)


if __name__ == "__main__":
    main()
