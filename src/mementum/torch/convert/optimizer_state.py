"""The state of an optimizer of ours or of torch's, running or saved, in one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mementum.family import limits
from mementum.family.memory import Fixed
from mementum.family.recipes import RECIPES, Recipe
from mementum.family.rule import Rule
from mementum.torch.checkpoint import matching, validation
from mementum.torch.checkpoint.matching import Entry
from mementum.torch.checkpoint.state_dict import (
    check_form,
    check_version,
    refuse_strays,
)
from mementum.torch.family_optimizer import FamilyOptimizer
from mementum.torch.state import formats
from mementum.torch.state.moments import MOMENTS, RAW

_TORCHS = (torch.optim.Adam, torch.optim.AdamW)
_RAW_NOUNS = {
    "momentum": "an exp_avg",
    "square": "an exp_avg_sq",
    "peak": "a max_exp_avg_sq",
}


class Moments(NamedTuple):
    """A parameter's moments as float32 or wider tensors; not to be written to."""

    step: int
    momentum: Tensor
    square: Tensor
    peak: Tensor | None


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """Groups and states, with the rule of each group.

    `states` are in the order of the `entries`; one that is empty has taken no step.
    Where they are `raw`, they are torch's: both moments without correction, under its
    names.
    """

    name: str
    raw: bool
    groups: Sequence[Mapping[str, Any]]
    entries: list[Entry]
    states: list[Mapping[str, Any]]
    rules: list[Rule]

    @property
    def live(self) -> bool:
        """Whether it is a running optimizer, whose entries are its parameters."""
        return all(isinstance(entry.key, Tensor) for entry in self.entries)

    def step(self, i: int) -> int:
        """Return how many steps the i-th parameter has taken."""
        where = f"the state of {self.entries[i]}"
        state = self.states[i]
        return validation.steps_taken(where, state["step"]) if state else 0

    def moments(self, i: int) -> Moments:
        """Return the moments of the i-th parameter, which has taken a step.

        A peak that its rule no longer looks at is left out.
        """
        state = self.states[i]
        if self.raw:
            state = {name: state[RAW[name]] for name in MOMENTS if RAW[name] in state}
        peak = None
        if self.rules[self.entries[i].group].peak and "peak" in state:
            peak = formats.decode("peak", state)
        momentum, square = (formats.decode(name, state) for name in MOMENTS[:2])
        return Moments(self.step(i), momentum, square, peak)

    def check(self, i: int, param: Tensor) -> None:
        """Refuse a state that is not what this optimizer keeps for such a parameter."""
        entry, state = self.entries[i], self.states[i]
        where = f"the state of {entry}"
        group, rule = self.groups[entry.group], self.rules[entry.group]
        if not self.raw:
            stored = group.get("state_dtype")
            peak = True if rule.peak else None
            validation.check(where, param, state, stored, peak=peak)
        elif state:
            _check_raw(where, param, state, rule)


def read(what: Any) -> OptimizerState:
    """Return the state of an optimizer, or of a state dict.

    Errors: `TypeError` for another kind of thing, `ValueError` for another
    optimizer's state dict.
    """
    if isinstance(what, torch.optim.Optimizer):
        return _running(what)
    check_form(what)
    return _saved(what)


def _running(optimizer: torch.optim.Optimizer) -> OptimizerState:
    groups, name = optimizer.param_groups, type(optimizer).__name__
    entries = matching.own_entries(groups)
    states = [optimizer.state.get(entry.key, {}) for entry in entries]
    if isinstance(optimizer, FamilyOptimizer):
        rules = [_own_rule(optimizer.recipe, i, g) for i, g in enumerate(groups)]
        return OptimizerState(name, False, groups, entries, states, rules)
    if not isinstance(optimizer, _TORCHS):
        raise TypeError(
            f"{name} keeps moments of its own; torch.optim.Adam's, AdamW's and those "
            "of mementum's optimizers can be adopted."
        )
    rules = [_raw_rule(i, group) for i, group in enumerate(groups)]
    return OptimizerState(f"torch.optim.{name}", True, groups, entries, states, rules)


def _saved(state_dict: Mapping[str, Any]) -> OptimizerState:
    groups, kept = state_dict["param_groups"], state_dict["state"]
    entries = matching.saved_entries(groups)
    refuse_strays(kept, entries)
    states = [kept.get(entry.key, {}) for entry in entries]
    kinds = {group.get("rule") for group in groups}
    if len(kinds) > 1:
        raise ValueError(
            f"its groups are of different rules: {sorted(map(str, kinds))}."
        )
    for index, group in enumerate(groups):
        check_version(f"parameter group {index}", group)
    kind = kinds.pop() if kinds else None
    if kind is None:
        rules = [_raw_rule(i, group) for i, group in enumerate(groups)]
        name = "a state dict of torch.optim.Adam or AdamW"
        return OptimizerState(name, True, groups, entries, states, rules)
    if kind not in RECIPES:
        raise ValueError(f"its rule is {kind!r}, which this release does not have.")
    rules = [_own_rule(RECIPES[kind], i, group) for i, group in enumerate(groups)]
    return OptimizerState(
        f"a state dict of {kind}", False, groups, entries, states, rules
    )


def _own_rule(recipe: Recipe, index: int, group: Mapping[str, Any]) -> Rule:
    missing = [name for name in recipe.defaults if name not in group]
    if missing:
        raise ValueError(f"its parameter group {index} has no {missing[0]!r}.")
    hyperparameters = {name: group[name] for name in recipe.defaults}
    return recipe.rule(hyperparameters, where=f"parameter group {index}: ")


def _raw_rule(index: int, group: Mapping[str, Any]) -> Rule:
    """Return torch's rule in our terms: both moments raw, corrected at the step."""
    missing = [name for name in ("betas", "eps", "amsgrad") if name not in group]
    if missing:
        raise ValueError(
            f"its parameter group {index} has no {missing[0]!r}, so it is neither "
            "torch.optim.Adam's or AdamW's state dict nor mementum's."
        )
    beta1, beta2 = limits.pair("betas", group["betas"])
    return Rule(
        momentum=Fixed(limits.fraction("betas[0]", beta1)),
        square=Fixed(limits.fraction("betas[1]", beta2)),
        peak=bool(group["amsgrad"]),
        debias_momentum=True,
        debias_square=True,
        eps_out=limits.epsilon(group["eps"]),
        weight_decay=limits.decay(group.get("weight_decay", 0)),
        decoupled=bool(group.get("decoupled_weight_decay", False)),
    )


def _check_raw(where: str, param: Tensor, state: Mapping[str, Any], rule: Rule) -> None:
    names = MOMENTS if rule.peak else MOMENTS[:2]
    wanted = {"step", *(RAW[name] for name in names)}
    # amsgrad may have been switched off since; its maximum is then of no use.
    if not wanted <= set(state) <= {"step", *RAW.values()}:
        raise ValueError(
            f"{where} holds {', '.join(sorted(map(str, state)))}, and torch.optim.Adam "
            f"keeps {', '.join(sorted(wanted))}; another optimizer saved it."
        )
    validation.steps_taken(where, state["step"])
    for name in names:
        what, moment = f"{where} has {_RAW_NOUNS[name]}", state[RAW[name]]
        validation.check_shape(what, param, moment)
        if not (moment.is_floating_point() or moment.is_complex()):
            raise ValueError(f"{what} of {moment.dtype}, which is no number's.")
        if name != "momentum" and formats.negative(moment):
            raise ValueError(
                f"{what} below zero, which no mean of squares is; the file is damaged."
            )
