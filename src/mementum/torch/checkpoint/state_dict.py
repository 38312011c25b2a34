"""What a state dict says, what it must say to be loaded, and what is refused."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from mementum.family.recipes import Recipe
from mementum.torch.checkpoint import matching, validation
from mementum.torch.checkpoint.matching import Entry
from mementum.torch.groups.options import COUNTS, Group, is_noisy, plain
from mementum.torch.state import ParamState, State, formats
from mementum.torch.state.moments import OWN, counter

# What a state dict means. It grows by one when an older release would misread it.
# Format 1 had noise keyed by the text of the step.
_FORMAT = 2
# What only a state dict's groups say, and what belongs to parameters in them.
_DESCRIBED = ("format_version", "param_shapes")
_LISTS = ("params", "param_names", "param_shapes")


def annotate(
    state_dict: dict[str, Any], groups: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Say in a new state dict what it is, and leave only plain values in its groups.

    `groups` are the optimizer's. Each names its rule already, and its parameters where
    they have names. What is said stands in the groups, because torch.distributed keeps
    nothing else.
    """
    for group, own in zip(state_dict["param_groups"], groups, strict=True):
        for name, value in plain(group).items():
            group[name] = list(value) if isinstance(value, tuple) else value
        for count in COUNTS:
            # A captured step counts on its device, in a tensor that it changes.
            group[count] = int(group[count])
        group["format_version"] = _FORMAT
        # One string: torch.distributed takes lists apart, and fails where two differ.
        shapes = [None if is_lazy(p) else list(p.shape) for p in own["params"]]
        group["param_shapes"] = json.dumps(shapes)
    return state_dict


def resolve(
    recipe: Recipe, own_groups: Sequence[Group], state_dict: Any
) -> tuple[list[Group], State]:
    """Return the groups and the state that a state dict says, for own parameters.

    `own_groups` are those of the optimizer that is to have them, and are not changed;
    the tensors of the state are copies. Errors: `ValueError` or `TypeError` if it is
    another rule's, or does not fit the parameters.
    """
    check_form(state_dict)
    groups, states = state_dict["param_groups"], state_dict["state"]
    own, saved = matching.own_entries(own_groups), matching.saved_entries(groups)
    for index, group in enumerate(groups):
        _check_origin(recipe, index, group, states)
    pairs = list(zip(own, matching.match(own, saved), strict=True))
    refuse_strays(states, saved)
    renewed = [
        _renewed(index, own_group, groups, pairs)
        for index, own_group in enumerate(own_groups)
    ]
    peaks = [
        _keeps_peak(recipe, f"parameter group {i}: " if i or renewed[1:] else "", group)
        for i, group in enumerate(renewed)
    ]
    state: State = defaultdict(dict)
    for mine, theirs in pairs:
        group, kept = renewed[mine.group], states.get(theirs.key)
        if kept is None:
            continue
        where, param = f"the state of {theirs}", mine.key
        stored = group["state_dtype"]
        validation.check(where, param, kept, stored, peak=peaks[mine.group])
        state[param] = _own(param, kept, capturable=bool(group.get("capturable")))
    _warn_of_noise(recipe, groups, [each for each in saved if each.key in states])
    keys = {theirs.key for _, theirs in pairs}
    state.update(
        (key, deepcopy(kept)) for key, kept in states.items() if key not in keys
    )
    return renewed, state


def check_form(state_dict: Any) -> None:
    """Refuse what is no optimizer's state dict."""
    if not isinstance(state_dict, dict):
        raise TypeError(
            f"a state dict is a dict, and not {type(state_dict).__name__}; load what "
            "state_dict() returned."
        )
    within = state_dict.get("optimizer")
    if "param_groups" not in state_dict and isinstance(within, dict):
        raise ValueError(
            "this is a checkpoint that holds a state dict under 'optimizer'; load that "
            "entry: checkpoint['optimizer']."
        )
    for key, kind in (("state", dict), ("param_groups", list)):
        if not isinstance(state_dict.get(key), kind):
            raise ValueError(
                f"the state dict has no {kind.__name__} {key!r}; load what the "
                "optimizer's state_dict() returned, and not a model's."
            )


def _check_origin(
    recipe: Recipe, index: int, group: Mapping[str, Any], states: Mapping[Any, Any]
) -> None:
    """Refuse a group that another rule saved: its moments mean something else."""
    where = f"parameter group {index} of the state dict"
    check_version(where, group)
    _check_counts(where, group)
    rule, own = group.get("rule"), recipe.kind
    if rule is None:
        found = _stranger(group, states)
        raise ValueError(
            f"{where} names no rule, so {found} saved it, whose moments mean something "
            f"else than {own}'s. To take over torch.optim.Adam's or AdamW's, use "
            "mementum.convert.adopt."
        )
    missing = [key for key in ("lr", *recipe.defaults) if key not in group]
    if rule != own or missing:
        found = f"is {rule}'s" if rule != own else f"has no {missing[0]!r}"
        raise ValueError(
            f"{where} {found}, and this optimizer's rule is {own}, whose moments mean "
            "something else; load it into the optimizer that saved it, or take its "
            "moments over with mementum.convert.adopt."
        )


def check_version(where: str, group: Mapping[str, Any]) -> None:
    """Refuse a group in a format that this release cannot read."""
    version = group.get("format_version", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(
            f"{where} has format_version {version!r}; it is a whole number from 1 up."
        )
    if version > _FORMAT:
        raise ValueError(
            f"{where} is in format {version}, which a newer mementum wrote, and this "
            f"one reads formats up to {_FORMAT}; update mementum."
        )


def _warn_of_noise(
    recipe: Recipe, groups: Sequence[Mapping[str, Any]], stepped: Sequence[Entry]
) -> None:
    """Say once if a run with noise cannot go on as it would have gone on."""
    sources = (groups[entry.group] for entry in stepped)
    if any(is_noisy(each) and each.get("format_version", 1) < 2 for each in sources):
        warnings.warn(
            f"{recipe.name}: the state dict is in format 1, whose rounding noise had "
            "other keys, so that from here on moments and parameters are rounded "
            "otherwise than they would have been.",
            stacklevel=4,
        )


def _check_counts(where: str, group: Mapping[str, Any]) -> None:
    """Refuse counts of steps that are none; a group saved without them has none."""
    for name in COUNTS:
        count = group.get(name, 0)
        whole = isinstance(count, int) and not isinstance(count, bool)
        if isinstance(count, Tensor) and not count.dim():
            kind = count.dtype
            whole = not (kind.is_floating_point or kind.is_complex)
            whole = whole and kind != torch.bool
        if not whole or count < 0:
            raise ValueError(
                f"{where} has {name} {count!r:.60}; it counts steps, from 0 up. The "
                "file is damaged; load what state_dict() returned."
            )


def _stranger(group: Mapping[str, Any], states: Mapping[Any, Any]) -> str:
    """Return who may have saved a group that names no rule."""
    raw = any(
        isinstance(kept, Mapping) and "exp_avg" in kept for kept in states.values()
    )
    return (
        "torch.optim.Adam or AdamW" if raw or "amsgrad" in group else "another library"
    )


def refuse_strays(states: Mapping[Any, Any], saved: Sequence[Entry]) -> None:
    """Refuse a state that belongs to no parameter of a group."""
    keys = {entry.key for entry in saved}
    strays = [
        key
        for key, kept in states.items()
        if key not in keys and not validation.is_note(key, kept)
    ]
    if strays:
        raise ValueError(
            f"the state dict holds a state under {strays[0]!r}, and no group of it has "
            "such a parameter; save it anew, and whole."
        )


def _renewed(
    index: int,
    own: Group,
    groups: Sequence[Mapping[str, Any]],
    pairs: Sequence[tuple[Entry, Entry]],
) -> Group:
    """Return an own group with the options that were saved of its parameters."""
    mine = [pair for pair in pairs if pair[0].group == index]
    sources = list(dict.fromkeys(theirs.group for _, theirs in mine))
    if not sources:
        return dict(own)
    first, *others = (_options(groups[source]) for source in sources)
    for source, other in zip(sources[1:], others, strict=True):
        for name in sorted(first.keys() | other.keys()):
            if not same(first.get(name), other.get(name)):
                raise ValueError(
                    f"parameter group {index} of this optimizer has parameters that "
                    f"were saved in groups {sources[0]} and {source}, whose {name} is "
                    f"{first.get(name)!r} and {other.get(name)!r}; keep parameters of "
                    "different options in different groups."
                )
    renewed = plain(deepcopy(first))
    stored = renewed.setdefault("state_dtype", None)
    if stored != own["state_dtype"]:
        raise ValueError(
            f"parameter group {sources[0]} was saved with state_dtype={stored!r} and "
            f"this optimizer has {own['state_dtype']!r}; build it with {stored!r}, or "
            "convert the moments with mementum.convert.adopt."
        )
    renewed["params"] = own["params"]
    if (names := _names(groups, mine)) is not None:
        renewed["param_names"] = names
    return renewed


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in group.items()
        if name not in (*_LISTS, *_DESCRIBED)
    }


def same(a: Any, b: Any) -> bool:
    """Whether two options are equal, tensors included."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return type(a) is type(b) and torch.equal(a, b)
    return bool(a == b)


def _names(
    groups: Sequence[Mapping[str, Any]], pairs: Sequence[tuple[Entry, Entry]]
) -> list[str] | None:
    """Return a group's names after loading: the saved ones, on which noise is keyed."""
    known = [name for group in groups for name in group.get("param_names") or ()]
    by_bare = dict(zip(matching.unwrapped(known), known, strict=True))
    bares = matching.unwrapped([str(theirs.key) for _, theirs in pairs])
    names = []
    for (mine, theirs), bare in zip(pairs, bares, strict=True):
        if theirs.rebuilt:
            names.append(by_bare.get(bare, mine.name))
        else:
            names.append(mine.name if theirs.name is None else theirs.name)
    return None if None in names else names  # type: ignore[return-value]


def _keeps_peak(recipe: Recipe, where: str, group: Mapping[str, Any]) -> bool | None:
    """Return whether a group's rule keeps a peak; None if it could and does not."""
    hyperparameters = {name: group[name] for name in recipe.defaults}
    rule = recipe.rule(hyperparameters, where=where)
    return rule.peak or (None if "peak" in recipe.defaults else False)


def _own(param: Tensor, kept: Mapping[str, Any], *, capturable: bool) -> ParamState:
    """Return a copy of a parameter's state, on its device, in a dtype it may have.

    What another program keeps there comes along as it is.
    """
    own: ParamState = {}
    for key, value in kept.items():
        if key == "step":
            own[key] = counter(value, param, capturable=capturable)
        elif key not in OWN:
            tensor = isinstance(value, Tensor)
            own[key] = value.to(param.device, copy=True) if tensor else deepcopy(value)
        else:
            own[key] = formats.recognize(value).copy(param, value)
    return own
