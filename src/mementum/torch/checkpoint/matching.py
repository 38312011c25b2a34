"""Which saved parameter is which of an optimizer's: by name, or else by place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch.nn.parameter import is_lazy

# What torch's wrappers put into a parameter's name.
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_DATA_PARALLEL = "module."
_SHOWN = 3


class Entry(NamedTuple):
    """A parameter as a group lists it.

    `key` is what its state is kept under: the parameter itself in an optimizer, a
    number in a state dict, and a name in one of torch.distributed's, whose order is
    then `rebuilt` after the optimizer that it is meant for. `shape` is None where the
    group does not say, and where a lazy parameter has none yet. Of an optimizer's own,
    `place` counts them.
    """

    group: int
    key: Any
    name: str | None = None
    shape: tuple[int, ...] | None = None
    rebuilt: bool = False
    place: int | None = None

    def __str__(self) -> str:
        """Return the parameter's name, or its place without."""
        place = self.key if self.place is None else self.place
        return f"parameter {place if self.name is None else repr(self.name)}"


def own_entries(groups: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Return the parameters of an optimizer, in their order."""
    entries: list[Entry] = []
    for index, group in enumerate(groups):
        names = group.get("param_names") or [None] * len(group["params"])
        for param, name in zip(group["params"], names, strict=True):
            shape = None if is_lazy(param) else tuple(param.shape)
            place = len(entries)
            entries.append(Entry(index, param, name, shape, place=place))
    return entries


def saved_entries(groups: Sequence[Any]) -> list[Entry]:
    """Return the parameters of a state dict, in their order.

    Errors: `ValueError` for groups that are none, and for lists that do not agree.
    """
    entries: list[Entry] = []
    for index, group in enumerate(groups):
        if not isinstance(group, Mapping) or not isinstance(group.get("params"), list):
            raise ValueError(
                f"parameter group {index} of the state dict is no group: it has no "
                "list 'params'. Load what the optimizer's state_dict() returned."
            )
        entries += _entries(index, group)
    names = [entry.name for entry in entries if entry.name is not None]
    keys = [entry.key for entry in entries]
    for what, counts in (("the key", Counter(keys)), ("the name", Counter(names))):
        repeated = [str(value) for value, count in counts.items() if count > 1]
        if repeated:
            raise ValueError(
                f"the state dict gives {what} {repeated[0]!r} to two parameters, so "
                "their states cannot be told apart; save it anew."
            )
    return entries


def _entries(index: int, group: Mapping[str, Any]) -> list[Entry]:
    keys = group["params"]
    if any(not isinstance(key, int | str) for key in keys):
        raise ValueError(
            f"parameter group {index} of the state dict lists parameters by "
            "something else than numbers or names; load what state_dict() returned."
        )
    if keys and all(isinstance(key, str) for key in keys):
        # torch.distributed leaves the other lists in the order they were saved in.
        return [Entry(index, key, key, rebuilt=True) for key in keys]
    names = group.get("param_names") or [None] * len(keys)
    shapes: list[Any] = _shapes(index, group.get("param_shapes"))
    shapes = shapes or [None] * len(keys)
    for what, column in (("param_names", names), ("param_shapes", shapes)):
        if not isinstance(column, list) or len(column) != len(keys):
            raise ValueError(
                f"parameter group {index} of the state dict has {len(keys)} parameters "
                f"and other {what} than as many; save it anew."
            )
    if any(not isinstance(name, str | None) for name in names):
        raise ValueError(
            f"parameter group {index} of the state dict has param_names that are no "
            "words; save it anew."
        )
    columns = zip(keys, names, shapes, strict=True)
    return [Entry(index, key, name, shape) for key, name, shape in columns]


def _shapes(index: int, text: Any) -> list[tuple[int, ...] | None]:
    """Return the shapes that a group says in JSON, or none."""
    try:
        shapes = json.loads(text or "[]")
        return [None if shape is None else tuple(shape) for shape in shapes]
    except (TypeError, ValueError):
        raise ValueError(
            f"parameter group {index} of the state dict has param_shapes {text!r:.60}, "
            "and wants JSON such as '[[3, 4], [5]]'; save it anew."
        ) from None


def match(own: list[Entry], other: list[Entry]) -> list[Entry]:
    """Return, for each of an optimizer's parameters, the one that was saved of it.

    Errors: `ValueError` if names, numbers or shapes show that they are not the same
    parameters.
    """
    if own and other and all(entry.name is not None for entry in (*own, *other)):
        found = _by_name(own, other)
    else:
        found = _by_place(own, other)
    for mine, theirs in zip(own, found, strict=True):
        if theirs.shape is not None and theirs.shape != mine.shape:
            raise ValueError(_misfit(mine, theirs))
    return found


def _misfit(mine: Entry, theirs: Entry) -> str:
    """Return the sentence on a parameter that was saved in another shape."""
    saved = f"{theirs} has shape {theirs.shape} in the state dict, and"
    if mine.shape is None:
        return (
            f"{saved} no shape yet in this optimizer; run the model once, which gives "
            "lazy parameters their shapes, and load then."
        )
    way = (
        "build the optimizer from the same model."
        if mine.name is not None and theirs.name is not None
        else "build it from the same model, in the same order. Parameters are matched "
        "whatever their order if both optimizers are given model.named_parameters()."
    )
    return f"{saved} {mine.shape} in this optimizer; {way}"


def _by_place(own: list[Entry], other: list[Entry]) -> list[Entry]:
    sizes = _sizes(own), _sizes(other)
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"the state dict has {_counted(sizes[1])}, and this optimizer "
            f"{_counted(sizes[0])}; build it from the same model, in the same groups. "
            "Groups may differ if both optimizers are given model.named_parameters()."
        )
    return other


def _sizes(entries: list[Entry]) -> list[int]:
    counts = Counter(entry.group for entry in entries)
    return [counts[index] for index in range(max(counts, default=-1) + 1)]


def _counted(sizes: list[int]) -> str:
    if len(sizes) == 1:
        return f"{sizes[0]} parameter{'' if sizes[0] == 1 else 's'} in one group"
    return f"groups of {', '.join(map(str, sizes)) or 'no'} parameters"


def _by_name(own: list[Entry], other: list[Entry]) -> list[Entry]:
    wanted = unwrapped([str(entry.name) for entry in own])
    by_name = dict(
        zip(unwrapped([str(entry.name) for entry in other]), other, strict=True)
    )
    if set(wanted) == set(by_name):
        return [by_name[name] for name in wanted]
    if _rebuilt_for(own, other):
        return other
    missing = [name for name in wanted if name not in by_name]
    known = set(wanted)
    extra = [name for name in by_name if name not in known]
    sides = [
        f"{where} without {_shortened(names)}"
        for where, names in (
            ("the state dict is", missing),
            ("this optimizer is", extra),
        )
        if names
    ]
    raise ValueError(
        f"the parameters' names differ: {' and '.join(sides)}. Build the optimizer "
        "from the same model; if parameters were renamed, rename them in the state "
        "dict with mementum.convert.renamed first."
    )


def _rebuilt_for(own: list[Entry], other: list[Entry]) -> bool:
    """Whether torch.distributed has put names of the whole model into our order."""
    return len(own) == len(other) and all(
        theirs.rebuilt
        and mine.group == theirs.group
        and (f".{theirs.name}".endswith(f".{mine.name}"))
        for mine, theirs in zip(own, other, strict=True)
    )


def unwrapped(names: list[str]) -> list[str]:
    """Return names without what torch's wrappers add to them, if they stay distinct."""
    bare = [
        ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        for name in names
    ]
    if all(name.startswith(_DATA_PARALLEL) for name in bare):
        bare = [name.removeprefix(_DATA_PARALLEL) for name in bare]
    return bare if len(set(bare)) == len(bare) else names


def _shortened(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
