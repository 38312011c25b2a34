"""What a parameter group says: its flags, and the names of its parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np
import torch
from torch import Tensor

from mementum.family import limits
from mementum.family.memory import Memory
from mementum.torch.state.formats import LOW, STATE_DTYPES

# A parameter group: `params`, perhaps `param_names`, hyperparameters, the flags of
# `Execution`, the rule and the counts. torch's own are open to anything else.
Group: TypeAlias = dict[str, Any]


class Execution(TypedDict, total=False):
    """How steps are run; the same arguments for every optimizer, by keyword only.

    Args:
        maximize: Climb instead of descending.
        foreach: True asks for torch's multi-tensor operations. With `fused` False too
            a plain loop runs; where both are None, the fastest path that can serve, and
            `explain()` says which.
        fused: True asks for the compiled kernel, or Triton's on a GPU.
        capturable: Compute each step's numbers and noise on the device, so that a graph
            can be captured.
        differentiable: Let autograd run through the step.
        nonfinite: What an infinite or NaN gradient does: "propagate" lets it through,
            "skip" leaves out the whole step and counts it, "raise" raises before
            anything changes.
        clip_norm: The largest norm that all gradients of a step together may have;
            longer ones are scaled down to it as the step reads them.
        state_dtype: What the moments are stored in: None for float32 (float64 for
            float64 parameters), `torch.bfloat16`, or "float8", whose tensors of fewer
            than 4096 elements or two dimensions stay float32.
        stochastic_rounding: Round bfloat16 and float16 parameters with noise, so that
            small updates are not lost.
        seed: The noise's.
    """

    maximize: bool
    foreach: bool | None
    fused: bool | None
    capturable: bool
    differentiable: bool
    nonfinite: Literal["propagate", "skip", "raise"]
    clip_norm: float | None
    state_dtype: torch.dtype | str | None
    stochastic_rounding: bool
    seed: int


EXECUTION: dict[str, Any] = {
    "maximize": False,
    "foreach": None,
    "fused": None,
    "capturable": False,
    "differentiable": False,
    "nonfinite": "propagate",
    "clip_norm": None,
    "state_dtype": None,
    "stochastic_rounding": False,
    "seed": 0,
}


# What a group counts.
COUNTS = "skipped_steps", "clipped_steps"


def named(index: int, group: Group) -> Iterator[tuple[str, Tensor]]:
    """Yield a group's parameters with their names, or their places without."""
    names = group.get("param_names")
    for i, param in enumerate(group["params"]):
        place = repr(names[i]) if names else f"{i} of group {index}"
        yield f"parameter {place}", param


def refuse_names(groups: list[Group]) -> None:
    """Refuse names that are not one for each parameter."""
    for group in groups:
        names, count = group.get("param_names"), len(group["params"])
        if names is not None and len(names) != count:
            raise ValueError(
                f"a group has {count} params and {len(names)} param_names; what is "
                "taken out of one list, or put in, belongs out of or in the other."
            )


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return group options as checkpoints can hold them: no classes of any library.

    Betas that are no pair stay as they are, to be refused where rules are made.
    """
    options = {name: _plain(value) for name, value in values.items()}
    if "betas" in options:
        with contextlib.suppress(TypeError):
            options["betas"] = _plain(limits.pair("betas", options["betas"]))
    if isinstance(stored := options.get("state_dtype"), str):
        options["state_dtype"] = stored.removeprefix("torch.")
    # torch's word for what is a class here; False says nothing.
    if not options.get("amsgrad", True):
        del options["amsgrad"]
    return options


def _plain(value: Any) -> Any:
    if isinstance(value, Memory):
        return {"log_ratio": value.log_ratio}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return value


def check_flags(group: Mapping[str, Any]) -> None:
    """Refuse flags that are no flags, and those that no path can honour together."""
    if group.get("amsgrad"):
        decoupled = group["decoupled_weight_decay"]
        raise ValueError(
            f"amsgrad is {group['amsgrad']!r}, which is a class of its own here; use "
            f'AMSGrad(variant="torch", decoupled_weight_decay={decoupled}).'
        )
    for name in ("maximize", "capturable", "differentiable", "foreach", "fused"):
        if group[name] is not None or EXECUTION[name] is not None:
            limits.switch(name, group[name])
    limits.choice("nonfinite", group["nonfinite"], ("propagate", "skip", "raise"))
    _check_clipping(group)
    _check_storage(group)
    if group["fused"] and group["foreach"]:
        raise ValueError(
            "fused and foreach are both True; each asks for another path. Set one."
        )
    if group["foreach"] and group["differentiable"]:
        raise ValueError(
            "foreach is True and differentiable too, but multi-tensor operations "
            "cannot be differentiated; leave foreach None."
        )
    if group["capturable"] and group["nonfinite"] == "raise":
        raise ValueError(
            "nonfinite is 'raise' and capturable is True, but the host that would "
            "raise does not look at gradients in a capture; use nonfinite='skip'."
        )


def _check_clipping(group: Mapping[str, Any]) -> None:
    clip_norm = group["clip_norm"]
    if clip_norm is None:
        return
    wants = "it is the largest global norm: a finite number above 0, or None."
    if isinstance(clip_norm, Tensor):
        raise TypeError(f"clip_norm is {clip_norm!r}; {wants}")
    if not limits.number("clip_norm", clip_norm, wants=wants):
        raise ValueError(f"clip_norm is {clip_norm}; {wants}")
    if group["differentiable"]:
        raise ValueError(
            f"clip_norm is {clip_norm} and differentiable is True, but the norm is a "
            "number to the step, with no derivative; clip in the graph instead."
        )


def _check_storage(group: Mapping[str, Any]) -> None:
    """Refuse a storage that there is not, and noise that a path cannot honour."""
    state_dtype, rounding = group["state_dtype"], group["stochastic_rounding"]
    if state_dtype is not None:
        limits.choice("state_dtype", state_dtype, STATE_DTYPES)
    limits.switch("stochastic_rounding", rounding)
    if isinstance(group["seed"], bool) or not isinstance(group["seed"], int):
        raise TypeError(f"seed is {group['seed']!r}; it is a whole number.")
    if is_noisy(group) and group["differentiable"]:
        noisy = "stochastic_rounding" if rounding else "state_dtype"
        raise ValueError(
            f"{noisy} is {group[noisy]!r} and differentiable is True, but rounding "
            "with noise has no derivative; leave one of them out."
        )


def is_noisy(group: Mapping[str, Any]) -> bool:
    """Whether a group asks for what is rounded with noise; unsaid flags do not."""
    low = group.get("state_dtype") in LOW
    return low or bool(group.get("stochastic_rounding"))
