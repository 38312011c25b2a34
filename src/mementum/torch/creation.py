"""An optimizer by its name."""

from __future__ import annotations

from typing import Any

from torch.nn import Module
from torch.optim.optimizer import ParamsT

from mementum.family import limits
from mementum.torch.family_optimizer import FamilyOptimizer
from mementum.torch.groups.weight_decay import param_groups
from mementum.torch.optimizers import MEMBERS

_BY_NAME = {member.__name__.lower(): member for member in MEMBERS}


def create(
    name: str, model_or_params: Module | ParamsT, **arguments: Any
) -> FamilyOptimizer:
    """Return the optimizer of this name, with the arguments that its class takes.

    `name` is one that `mementum.list_optimizers` lists, in any case. Of a model the
    parameters are split by `mementum.param_groups`: biases, norms and vectors do not
    decay, and the rest by `weight_decay`, the class's own where none is given. Frozen
    ones are left out: `add_param_group` takes them once they are not.
    Parameters, named parameters and groups are taken as the class takes them.

    Errors: `ValueError` for a name that there is not, with the nearest, and what the
    class and `param_groups` raise.

    >>> import torch
    >>> from mementum import create
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    >>> optimizer = create("adaxw", model, lr=1e-3, weight_decay=0.1)
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.1, 0.0]
    """
    if isinstance(name, Module):
        raise TypeError("create: the name comes first, as in create('adamw', model).")
    if not isinstance(name, str):
        raise TypeError(f"create: name is {name!r}; it is a string such as 'adamw'.")
    member = _BY_NAME[limits.resolve("optimizer", name, _BY_NAME)]
    params = model_or_params
    if isinstance(params, Module):
        standing = member.recipe.defaults["weight_decay"]
        params = param_groups(params, arguments.get("weight_decay", standing))
        if not params:
            raise ValueError(
                "create: the model has no parameter that wants a gradient."
            )
    return member(params, **arguments)
