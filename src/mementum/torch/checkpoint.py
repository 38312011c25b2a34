"""What a state dict must say, and what is refused on load."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mementum.torch.state import MOMENT_DTYPE, counter

if TYPE_CHECKING:
    from mementum.torch.optimizer import FamilyOptimizer

MOMENTS = ("momentum", "square", "peak")


def load(optimizer: FamilyOptimizer, state_dict: dict[str, Any]) -> None:
    """Load a state dict into an optimizer, or change nothing and say why."""
    state_dict = state_dict.copy()
    for before in optimizer._optimizer_load_state_dict_pre_hooks.values():
        state_dict = before(optimizer, state_dict) or state_dict
    groups = deepcopy(state_dict["param_groups"])
    _match_groups(optimizer, groups)
    saved = {
        key: value
        for group, own in zip(groups, optimizer.param_groups, strict=True)
        for key, value in zip(group["params"], own["params"], strict=True)
    }
    state: defaultdict[Any, Any] = defaultdict(dict)
    for key, kept in state_dict["state"].items():
        if key not in saved:
            state[key] = kept
            continue
        capturable = any(g.get("capturable") for g in groups if key in g["params"])
        _check_moments(optimizer, key, saved[key], kept)
        state[saved[key]] = _own(saved[key], kept, capturable=capturable)
    _replace(optimizer, groups, state)
    for after in optimizer._optimizer_load_state_dict_post_hooks.values():
        after(optimizer)


def _match_groups(optimizer: FamilyOptimizer, groups: list[dict[str, Any]]) -> None:
    name, own = optimizer.recipe.name, optimizer.param_groups
    if len(groups) != len(own):
        raise ValueError(
            f"{name}: the state dict has {len(groups)} parameter groups and this "
            f"optimizer {len(own)}; build it with the same groups."
        )
    for index, (saved, mine) in enumerate(zip(groups, own, strict=True)):
        if len(saved["params"]) != len(mine["params"]):
            raise ValueError(
                f"{name}: parameter group {index} has {len(saved['params'])} "
                f"parameters in the state dict and {len(mine['params'])} in this "
                "optimizer; build it from the same model."
            )
        missing = [key for key in optimizer.recipe.defaults if key not in saved]
        if missing:
            raise ValueError(
                f"{name}: parameter group {index} of the state dict has no "
                f"{missing[0]!r}, so another optimizer saved it; load it there."
            )


def _check_moments(
    optimizer: FamilyOptimizer, key: int, param: Tensor, kept: dict[str, Any]
) -> None:
    """Refuse a parameter's state that another rule saved, or another shape's."""
    if not kept:
        return
    name = f"{optimizer.recipe.name}: the state of parameter {key}"
    missing = {"step", "momentum", "square"} - set(kept)
    extra = set(kept) - {"step", *MOMENTS}
    if missing or extra:
        raise ValueError(
            f"{name} holds {', '.join(map(str, kept)) or 'nothing'}; it wants step, "
            "momentum and square. Another optimizer saved it; load it there."
        )
    for moment in MOMENTS:
        if moment in kept and kept[moment].shape != param.shape:
            raise ValueError(
                f"{name} has a {moment} of shape {tuple(kept[moment].shape)}, and the "
                f"parameter has {tuple(param.shape)}; build it from the same model."
            )
    step = float(kept["step"])
    if not step >= 0 or step != int(step):
        raise ValueError(f"{name} has taken {step} steps; it wants a whole number.")


def _own(param: Tensor, kept: dict[str, Any], *, capturable: bool) -> dict[str, Any]:
    """Return a copy of a parameter's state, on its device, in a dtype it may have."""
    own: dict[str, Any] = {}
    for key, value in kept.items():
        if key == "step":
            own[key] = counter(value, param, capturable=capturable)
        else:
            dtype = torch.promote_types(value.dtype, MOMENT_DTYPE[param.dtype])
            own[key] = torch.empty_like(param, dtype=dtype, requires_grad=False)
            own[key].copy_(value)
    return own


def _replace(
    optimizer: FamilyOptimizer, groups: list[dict[str, Any]], state: dict[Any, Any]
) -> None:
    """Put new groups and state in place, or restore the old if the new are refused."""
    before = optimizer.state, optimizer.param_groups
    for group, own in zip(groups, optimizer.param_groups, strict=True):
        group["params"] = own["params"]
        if "param_names" in own:
            group.setdefault("param_names", own["param_names"])
    try:
        optimizer.__setstate__({"state": state, "param_groups": groups})
        optimizer.check()
    except Exception:
        optimizer.state, optimizer.param_groups = before
        raise
