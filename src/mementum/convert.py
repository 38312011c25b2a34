"""Take over the state of a running optimizer, in torch, and between torch and JAX.

`adopt` and `renamed` are `mementum.torch.convert`'s. The other two hand a run of a
member over to the other side, where it goes on with the same moments and noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mementum import install

if TYPE_CHECKING:
    from mementum.torch.convert import Report, adopt, renamed

__all__ = ["Report", "adopt", "optax_to_torch", "renamed", "torch_to_optax"]

_TORCHS = ("Report", "adopt", "renamed")


def __getattr__(name: str) -> Any:
    """Import torch only when what is torch's is asked for."""
    if name not in _TORCHS:
        raise AttributeError(f"module 'mementum.convert' has no attribute {name!r}")
    with install.needing(f"mementum.convert.{name}", "torch"):
        return getattr(import_module("mementum.torch.convert"), name)


Rename = Callable[[str], str]


def optax_to_torch(
    state: Any, optimizer: Any, rename: Rename | None = None
) -> dict[str, Any]:
    """Return a state dict for a torch optimizer with the moments of a state in JAX.

        optimizer.load_state_dict(optax_to_torch(state, optimizer))

    `state` is a member's, in any wrapper; `optimizer` the same member, whose groups and
    named parameters say where the moments go. `rename` turns the name of a JAX leaf,
    such as ``layers.0.kernel``, into the torch parameter's. Loading checks the rest.
    Errors: `ValueError` if the parameters are not the same.
    """
    from mementum.optax.state import MEMBER_STATES, by_name, only

    own = only(state, MEMBER_STATES, "optax_to_torch: state")
    step, trees = int(own.count), own._asdict()
    del trees["count"]
    moments = {kind: by_name(tree, rename) for kind, tree in trees.items()}
    saved = optimizer.state_dict()
    entries = {}
    for key, name in _names(saved).items():
        _refuse_missing(name, moments["momentum"])
        arrays = {kind: named[name] for kind, named in moments.items()}
        entries[key] = {"step": step, **{k: _tensor(a) for k, a in arrays.items()}}
    _refuse_others(set(moments["momentum"]) - set(_names(saved).values()))
    return {**saved, "state": entries}


def torch_to_optax(source: Any, like: Any, rename: Rename | None = None) -> Any:
    """Return a state in JAX with the moments of a torch optimizer, or its state dict.

        state = torch_to_optax(optimizer, transformation.init(params))

    `like` is what the same member's `init` returned, in any wrapper; it says where the
    moments go. `rename` turns the name of a JAX leaf, such as ``layers.0.kernel``, into
    the torch parameter's. Errors: `ValueError` if the parameters or formats are not the
    same, or have taken different numbers of steps.
    """
    from mementum.optax.state import MEMBER_STATES, counted, from_names, only

    own = only(like, MEMBER_STATES, "torch_to_optax: like")
    saved = source if isinstance(source, Mapping) else source.state_dict()
    entries = {
        name: saved["state"][key]
        for key, name in _names(saved).items()
        if key in saved["state"]
    }
    steps = {int(entry["step"]) for entry in entries.values()}
    if len(steps) != 1:
        raise ValueError(
            f"torch_to_optax: the parameters have taken {sorted(steps) or 'no'} steps, "
            "and a state in JAX has one count; take a step with all of them first."
        )
    moments = {}
    for kind in own._fields[1:]:
        arrays = {
            name: _array(name, kind, entry[kind])
            for name, entry in entries.items()
            if kind in entry
        }
        moments[kind] = from_names(f"{kind} of", getattr(own, kind), arrays, rename)
    return counted(like, own, own._replace(**moments), steps.pop())


def _names(saved: Mapping[str, Any]) -> dict[Any, str]:
    """Return the name of each parameter of a state dict, by its key."""
    names: dict[Any, str] = {}
    for group in saved["param_groups"]:
        if "param_names" not in group:
            raise ValueError(
                "the torch optimizer's parameters have no names, by which leaves are "
                "found; construct it with model.named_parameters()."
            )
        names.update(zip(group["params"], group["param_names"], strict=True))
    return names


def _refuse_missing(name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        raise ValueError(
            f"the torch parameter {name!r} has no leaf in JAX, whose leaves are "
            f"{', '.join(known)}; say with rename what they are called in torch."
        )


def _refuse_others(names: set[str]) -> None:
    if names:
        raise ValueError(
            f"the leaf {min(names)!r} is no parameter of the torch optimizer; say with "
            "rename what the leaves are called in torch."
        )


def _tensor(array: Any) -> Any:
    """Return a tensor with the bits of an array; torch reads no bfloat16 of NumPy's."""
    import numpy as np
    import torch

    own = np.array(array)
    if own.dtype.name == "bfloat16":
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)


def _array(name: str, kind: str, tensor: Any) -> Any:
    """Return an array with the bits of a tensor."""
    import jax.numpy as jnp
    import numpy as np
    import torch

    own = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if own.dtype == torch.uint8:
        raise ValueError(
            f"the {kind} of {name!r} is in float8, which JAX has none of; let an "
            "optimizer with state_dtype=torch.bfloat16 adopt the state first."
        )
    if own.dtype == torch.bfloat16:
        bits: Any = own.view(torch.int16).numpy()
        return bits.view(np.dtype(jnp.bfloat16))
    return own.numpy()
