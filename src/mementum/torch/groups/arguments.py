"""What an optimizer is called with, and what to pass instead of what it cannot take."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.nn import Module, ParameterList

from mementum.family.limits import nearest
from mementum.torch.groups.options import EXECUTION, Group


def refuse_unknown(
    optimizer: str, execution: Iterable[str], own: Iterable[str]
) -> None:
    """Refuse keywords that are no flags, beside an optimizer's own arguments.

    Errors: `TypeError` with the nearest names.
    """
    unknown = sorted(set(execution) - set(EXECUTION))
    if unknown:
        hint = nearest(unknown[0], ["params", "lr", *own, *EXECUTION])
        raise TypeError(f"{optimizer} has no argument {unknown[0]!r}; {hint}")


def listed(params: Any) -> list[Any]:
    """Return what was passed as parameters, be it named or in groups, in a list.

    Errors: `TypeError` with what to pass instead.
    """
    way = "pass model.parameters() or model.named_parameters()"
    # A ParameterList is a module that is a list of parameters.
    if isinstance(params, Module) and not isinstance(params, ParameterList):
        raise TypeError(f"params is a module ({type(params).__name__}); {way} of it.")
    if isinstance(params, Tensor):
        raise TypeError("params is a single tensor; pass a list, as [tensor].")
    if isinstance(params, Mapping):
        raise TypeError(
            f"params is a {type(params).__name__}; pass its items() if they are named "
            "tensors, and [group] if it is a group."
        )
    if isinstance(params, str | bytes) or not isinstance(params, Iterable):
        raise TypeError(f"params is {params!r:.60}; {way}.")
    entries = list(params)
    for entry in entries:
        param = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
        if not isinstance(param, Tensor | dict):
            found = repr(param) if isinstance(param, str) else type(param).__name__
            raise TypeError(f"params holds {found:.60} where a tensor belongs; {way}.")
    return entries


def listed_group(param_group: Any) -> Group:
    """Return a parameter group whose parameters are in a list.

    Errors: `TypeError` for what is no group, `ValueError` for one without parameters,
    and as `listed`.
    """
    if not isinstance(param_group, dict):
        raise TypeError(
            "param_group must be a dict with the key 'params', and not "
            f"{type(param_group).__name__}."
        )
    if "params" not in param_group:
        keys = ", ".join(map(repr, param_group)) or "no keys"
        names = map(str.lower, map(str, param_group))
        near = difflib.get_close_matches("params", names)
        hint = "; did you mean 'params'?" if near else "."
        raise ValueError(
            "a parameter group without 'params', which lists its parameters, has "
            f"{keys}{hint}"
        )
    # A single tensor and a set are torch's to take or to refuse.
    if isinstance(param_group["params"], Tensor | set):
        return param_group
    return param_group | {"params": listed(param_group["params"])}


def listed_some(params: Any) -> list[Any]:
    """Return what was passed as parameters, in a list that is not empty.

    Errors: as `listed`, and `ValueError` where there is none.
    """
    entries = listed(params)
    if not entries:
        raise ValueError(
            "params is an empty parameter list; a generator, such as "
            "model.parameters(), is empty once it has been read."
        )
    return entries
