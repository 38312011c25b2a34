"""Try an installed mementum with whatever is beside it, and say in JSON what was tried.

Run by environments.py with the Python of each environment, away from the repository. It
needs nothing that mementum does not need. With --kernel, no kernel is an error.
"""

from __future__ import annotations

import copy
import ctypes
import importlib.util
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mementum
from mementum import sources
from mementum.family.recipes import RECIPES

STEPS = 20


def refused(name: str, extra: str) -> None:
    """Hold that a name says which extra it needs."""
    module, _, attribute = name.rpartition(".")
    try:
        getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        assert f"[{extra}]" in str(error), error
    else:
        raise AssertionError(f"{name} is here, and {extra} is not")


def theory() -> int:
    """Explain every recipe and list every name, in this process and in a command's."""
    assert [*mementum.list_optimizers()] == [name.lower() for name in RECIPES]
    for words in (["explain", *RECIPES, "--json"], ["help"], ["completion", "bash"]):
        done = subprocess.run(
            [sys.executable, "-m", "mementum", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout, words
    return len(RECIPES)


def bits(state: Any) -> bytes:
    """Return the bytes of all tensors of a state or a list."""
    import torch

    if isinstance(state, torch.Tensor):
        return bytes(state.detach().contiguous().view(torch.uint8).flatten().tolist())
    if isinstance(state, dict):
        return b"".join(map(bits, state.values()))
    return b"".join(map(bits, state)) if isinstance(state, list | tuple) else b""


def gradients() -> Iterator[list[Any]]:
    """Yield the gradients of each step, the same in every run."""
    import torch

    source = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        yield [torch.randn(shape, generator=source) for shape in ((33, 7), (7,))]


def trained(member: Any, options: dict[str, Any], *, again: bool) -> bytes:
    """Return the bits of a run; halfway it is saved and loaded where asked."""
    import torch

    params = [torch.full((33, 7), 0.5), torch.full((7,), -0.25)]
    optimizer = member(params, **options)
    for step, grads in enumerate(gradients()):
        if again and step == STEPS // 2:
            file = io.BytesIO()
            torch.save(optimizer.state_dict(), file)
            file.seek(0)
            optimizer = member(params, **options)
            optimizer.load_state_dict(torch.load(file, weights_only=True))
            optimizer = pickle.loads(pickle.dumps(optimizer))
            params = optimizer.param_groups[0]["params"]
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        optimizer.step()
    return bits(params) + bits(copy.copy(optimizer.state_dict()["state"]))


def torch_side() -> int:
    """Hold that all paths, and a run that was saved, give every member's one result."""
    from mementum.torch import FORMATS, MEMBERS

    paths: list[dict[str, Any]] = [{}, {"foreach": False}, {"foreach": True}]
    if kernel() is not None:
        paths.append({"fused": True})
    tried = 0
    for member in MEMBERS:
        assert type(mementum.create(member.__name__, [_tensor()])) is member
        for name in FORMATS:
            options = {"state_dtype": name, "clip_norm": 1.0, "lr": 0.01}
            runs = {trained(member, options | path, again=False) for path in paths}
            runs.add(trained(member, options, again=True))
            assert len(runs) == 1, (member, name)
            tried += len(paths) + 1
    return tried


def _tensor() -> Any:
    import torch

    return torch.zeros(1)


def jax_side() -> int:
    """Hold that every member steps under jit, and the same as without."""
    import jax
    import jax.numpy as jnp

    from mementum import optax as members

    names = [name.lower() for name in RECIPES]
    for name in names:
        transform = getattr(members, name)(1e-2)
        params = {"a": jnp.full((33, 7), 0.5), "b": jnp.full((7,), -0.25)}
        state = transform.init(params)
        for _ in range(3):
            updates, state = jax.jit(transform.update)(params, state, params)
            params = jax.tree.map(lambda p, u: p + u, params, updates)
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))
        assert float(params["a"][0, 0]) != 0.5, name
    return len(names)


def kernel() -> str | None:
    """Return the file of the compiled kernel, which loads, if there is one."""
    for folder in map(Path, mementum.__path__):
        for path in folder.glob("native/mementum_kernel.*"):
            assert ctypes.CDLL(str(path)).mementum_job_size() > 0
            return path.name
    return None


def main() -> None:
    here = {
        name: importlib.util.find_spec(name) is not None for name in ("torch", "jax")
    }
    told: dict[str, Any] = {
        "digest": sources.step_digest(map(Path, mementum.__path__)),
        "kernel": kernel(),
        "recipes": theory(),
    }
    if here["torch"]:
        told["runs of torch"] = torch_side()
    else:
        refused("mementum.AdaX", "torch")
    if here["jax"]:
        told["members of JAX"] = jax_side()
    else:
        refused("mementum.optax.adax", "jax")
    assert told["kernel"] or "--kernel" not in sys.argv, "there is no kernel"
    print(json.dumps(told))


if __name__ == "__main__":
    main()
