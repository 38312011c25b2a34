"""What a state dict must say, and what is refused on load."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mementum import limits
from mementum.torch import formats
from mementum.torch.state import LOW, MOMENT_DTYPE, MOMENTS, SCALE, counter, misfit

if TYPE_CHECKING:
    from mementum.torch.optimizer import FamilyOptimizer


def load(optimizer: FamilyOptimizer, state_dict: dict[str, Any]) -> None:
    """Load a state dict into an optimizer, or change nothing and say why."""
    _check_form(state_dict)
    state_dict = state_dict.copy()
    for before in optimizer._optimizer_load_state_dict_pre_hooks.values():
        state_dict = before(optimizer, state_dict) or state_dict
    groups = deepcopy(state_dict["param_groups"])
    _match_groups(optimizer, groups)
    params = {
        key: (param, group)
        for group, own in zip(groups, optimizer.param_groups, strict=True)
        for key, param in zip(group["params"], own["params"], strict=True)
    }
    state: defaultdict[Any, Any] = defaultdict(dict)
    for key, kept in state_dict["state"].items():
        if key not in params:
            state[key] = kept
            continue
        param, group = params[key]
        _check_moments(key, param, kept, group.get("state_dtype"))
        state[param] = _own(param, kept, capturable=bool(group.get("capturable")))
    _replace(optimizer, groups, state)
    for after in optimizer._optimizer_load_state_dict_post_hooks.values():
        after(optimizer)


def _check_form(state_dict: Any) -> None:
    """Refuse what is no optimizer's state dict."""
    if not isinstance(state_dict, dict):
        raise TypeError(
            f"a state dict is a dict, and not {type(state_dict).__name__}; load what "
            "state_dict() returned."
        )
    for key, kind in (("state", dict), ("param_groups", list)):
        if not isinstance(state_dict.get(key), kind):
            raise ValueError(
                f"the state dict has no {kind.__name__} {key!r}; load what the "
                "optimizer's state_dict() returned, and not a model's."
            )


def _match_groups(optimizer: FamilyOptimizer, groups: list[Any]) -> None:
    own = optimizer.param_groups
    if len(groups) != len(own):
        raise ValueError(
            f"the state dict has {len(groups)} parameter groups and this optimizer "
            f"{len(own)}; build it with the same groups."
        )
    for index, (saved, mine) in enumerate(zip(groups, own, strict=True)):
        if not isinstance(saved, dict) or "params" not in saved:
            raise ValueError(f"parameter group {index} of the state dict is no group.")
        if len(saved["params"]) != len(mine["params"]):
            raise ValueError(
                f"parameter group {index} has {len(saved['params'])} parameters in "
                f"the state dict and {len(mine['params'])} in this optimizer; build "
                "it from the same model."
            )
        _match_rule(optimizer, index, saved)
        stored, wanted = saved.get("state_dtype"), mine["state_dtype"]
        if stored != wanted:
            raise ValueError(
                f"parameter group {index} was saved with state_dtype={stored!r} and "
                f"this optimizer has {wanted!r}; build it with {stored!r}."
            )


def _match_rule(
    optimizer: FamilyOptimizer, index: int, saved: Mapping[str, Any]
) -> None:
    """Refuse a group that another rule saved: its moments mean something else."""
    rule = saved.get("rule", optimizer.recipe.kind)
    missing = [key for key in ("lr", *optimizer.recipe.defaults) if key not in saved]
    if rule != optimizer.recipe.kind or missing:
        found = f"is {rule}'s" if not missing else f"has no {missing[0]!r}"
        raise ValueError(
            f"parameter group {index} of the state dict {found}, so another optimizer "
            "saved it, whose moments mean something else; load it there."
        )


def _check_moments(key: Any, param: Tensor, kept: Any, state_dtype: str | None) -> None:
    """Refuse a parameter's state of another rule, another shape or another format."""
    where = f"the state of parameter {key}"
    if kept == {}:
        return
    names = set(kept) if isinstance(kept, dict) else set()
    scales = {name + SCALE for name in MOMENTS}
    known = {"step", *MOMENTS, *scales}
    if not {"step", "momentum", "square"} <= names <= known:
        raise ValueError(
            f"{where} holds {', '.join(sorted(map(str, names))) or 'nothing'}; it "
            "wants step, momentum and square. Another optimizer saved it; load it "
            "there."
        )
    for name in MOMENTS:
        if name in kept:
            _check_moment(f"{where} has a {name}", param, kept[name])
            _check_scale(f"{where} has a {name}", kept[name], kept.get(name + SCALE))
    if (reason := misfit(param, kept, state_dtype)) is not None:
        raise ValueError(f"{where}: {reason}")
    wants = "the number of steps taken is a whole number."
    step = limits.number(f"{where}: step", kept["step"], wants=wants)
    if not step.is_integer():
        raise ValueError(f"{where}: step is {step}; {wants}")


def _check_moment(what: str, param: Tensor, moment: Any) -> None:
    if not isinstance(moment, Tensor):
        raise TypeError(f"{what} that is {type(moment).__name__}, and not a tensor.")
    if moment.shape != param.shape:
        raise ValueError(
            f"{what} of shape {tuple(moment.shape)}, and the parameter has "
            f"{tuple(param.shape)}; build the optimizer from the same model."
        )
    if moment.is_complex() != param.is_complex():
        raise ValueError(
            f"{what} of {moment.dtype}, and the parameter is {param.dtype}; one is "
            "complex and the other not."
        )


def _check_scale(what: str, moment: Tensor, scale: Any) -> None:
    """Refuse float8 codes without an exponent for each block, and one without them."""
    if LOW.get(moment.dtype) != "float8":
        if scale is not None:
            raise ValueError(f"{what} of {moment.dtype} with a scale, and wants none.")
        return
    wants = formats.blocks(moment.shape) if moment.dim() > 1 else ()
    if not isinstance(scale, Tensor) or scale.dtype != torch.uint8:
        raise ValueError(f"{what} of float8 codes, and no scale of uint8 for them.")
    if tuple(scale.shape) != wants:
        raise ValueError(
            f"{what} of float8 codes with a scale of shape {tuple(scale.shape)}; the "
            f"blocks of the parameter want {wants}."
        )


def _own(param: Tensor, kept: dict[str, Any], *, capturable: bool) -> dict[str, Any]:
    """Return a copy of a parameter's state, on its device, in a dtype it may have."""
    own: dict[str, Any] = {}
    for key, value in kept.items():
        if key == "step":
            own[key] = counter(value, param, capturable=capturable)
        elif value.dtype == torch.uint8:
            own[key] = value.to(param.device, copy=True).contiguous()
        elif value.dtype in LOW:
            own[key] = torch.empty_like(param, dtype=value.dtype, requires_grad=False)
            own[key].copy_(value)
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
