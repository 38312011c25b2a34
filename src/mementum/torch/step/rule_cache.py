"""The rules of an optimizer's groups, refused or remembered."""

from __future__ import annotations

import math
from operator import is_, itemgetter
from typing import Any

from torch import Tensor

from mementum.family import limits
from mementum.family.memory import Namespace
from mementum.family.recipes import Recipe
from mementum.family.rule import Rule
from mementum.torch.backends import choose
from mementum.torch.groups.errors import named_after
from mementum.torch.groups.options import EXECUTION, Group, check_flags
from mementum.torch.state import sharding
from mementum.torch.step.coefficients import in_float64


class RuleCache:
    """Makes the rule of a group, and keeps it while the group says the same."""

    def __init__(self, recipe: Recipe, *, differentiable: bool) -> None:
        self._recipe = recipe
        self._differentiable = differentiable
        self._known: dict[int, tuple[tuple[Any, ...], Rule]] = {}
        self._options = itemgetter(*EXECUTION, *recipe.defaults)

    def rule(
        self,
        index: int,
        groups: list[Group],
        xp: Namespace,
        part: Group | None = None,
    ) -> Rule:
        """Return the rule of a group, or of a part of it, or refuse what it says.

        What a group says is looked at again only when it says something else.
        """
        group = part or groups[index]
        where = f"parameter group {index}: " if len(groups) > 1 else ""
        said = *self._options(group), groups[0]["clip_norm"], group.get("amsgrad")
        # Groups that say the same have one rule, and so the same numbers.
        for place in (index, index - 1) if xp is math else ():
            known = self._known.get(place)
            if known is not None and _same(said, known[0]):
                with named_after(self._recipe.name, where):
                    limits.learning_rate(group["lr"])
                self._known[index] = said, known[1]
                return known[1]
        with named_after(self._recipe.name, where):
            self._refuse(group, groups[0]["clip_norm"])
            if xp is math or not isinstance(group["lr"], Tensor):
                limits.learning_rate(group["lr"])
        hyperparameters = {name: group[name] for name in self._recipe.defaults}
        rule = self._recipe.rule(in_float64(hyperparameters, xp), xp, where)
        # A mapping, a list or a tensor may come to say something else by itself.
        if xp is math and not group["fused"] and all(map(_is_constant, said)):
            self._known[index] = said, rule
        return rule

    def _refuse(self, group: Group, agreed: float | None) -> None:
        """Refuse flags that are bad, or at odds with those of the optimizer."""
        check_flags(group)
        if group["differentiable"] != self._differentiable:
            raise ValueError(
                f"differentiable is {group['differentiable']} in a group of an "
                f"optimizer made with {self._differentiable}; set it for the whole "
                "optimizer."
            )
        if group["clip_norm"] != agreed:
            raise ValueError(
                f"clip_norm is {group['clip_norm']} here and {agreed} in parameter "
                "group 0, but there is one norm, over all groups; set it to one "
                "value in all of them."
            )
        if group["fused"]:
            for param in group["params"]:
                # One without memory may have got it by the time it has a gradient.
                if not param.is_meta or param.grad is not None:
                    choose(group, sharding.local(param))


def _same(said: tuple[Any, ...], known: tuple[Any, ...]) -> bool:
    """Whether a group says what it said, in values of the same types."""
    # What is known is constant.
    if all(map(is_, said, known)):
        return True
    if not all(map(_is_constant, said)):
        return False
    return list(map(type, said)) == list(map(type, known)) and said == known


def _is_constant(value: Any) -> bool:
    """Whether a value cannot change, and equals nothing that means something else."""
    if type(value) is tuple:
        return all(type(each) is float for each in value)
    return value is None or type(value) in (bool, int, float, str)
