"""Take over the state of a running optimizer: torch's by ours, ours by torch's.

    optimizer = mementum.AdaXW(model.named_parameters(), lr=5e-3)
    print(mementum.convert.adopt(optimizer, adamw, dry_run=True))
    mementum.convert.adopt(optimizer, adamw)

An optimizer that corrects a moment for its start at zero in its state keeps the mean,
one that corrects it at the step keeps the mean times its mass. What is kept in a
conversion is the mean, and the number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from mementum.family.noise import key
from mementum.family.rule import Rule
from mementum.torch.checkpoint import matching
from mementum.torch.checkpoint.state_dict import check_form, same
from mementum.torch.convert import optimizer_state
from mementum.torch.convert.optimizer_state import Moments, OptimizerState
from mementum.torch.convert.report import Report, build_report
from mementum.torch.family_optimizer import FamilyOptimizer
from mementum.torch.groups.options import EXECUTION
from mementum.torch.state import formats, rounding
from mementum.torch.state.moments import MOMENTS, RAW

__all__ = ["Report", "adopt", "renamed"]

_Pairs = list[tuple[int, int]]


def adopt(
    optimizer: torch.optim.Optimizer,
    source: torch.optim.Optimizer | Mapping[str, Any],
    *,
    carry: Iterable[str] = (),
    dry_run: bool = False,
) -> Report:
    """Give an optimizer the moments and steps of another, so that the run goes on.

    `optimizer` is one of mementum's, or, on the way back, `torch.optim.Adam` or
    `AdamW`. `source` is such an optimizer or its state dict. Parameters are matched
    as the same tensors, by name where both sides have names, and by place otherwise.

    The optimizer keeps its own hyperparameters; `carry` names group options to take
    from the source, such as ``("lr", "initial_lr")`` under a scheduler. `dry_run`
    changes nothing. Print the report to see what happens, or happened.

    Errors: `ValueError` or `TypeError` if the parameters are not the same ones, or the
    source is another kind of optimizer; nothing has changed then.
    """
    if not isinstance(
        optimizer, FamilyOptimizer | torch.optim.Adam | torch.optim.AdamW
    ):
        raise TypeError(
            f"optimizer is {type(optimizer).__name__}; it is one of mementum's, or "
            "torch.optim.Adam or AdamW. The source is the second argument."
        )
    name = type(optimizer).__name__
    if isinstance(carry, str):
        raise TypeError(
            f"{name} cannot adopt this: carry is {carry!r}; it is a list of options, "
            f"as [{carry!r}]."
        )
    try:
        target, origin = map(optimizer_state.read, (optimizer, source))
        pairs, how = _paired(target, origin)
        for mine, theirs in pairs:
            origin.check(theirs, target.entries[mine].key)
        _refuse_loss(target, origin, pairs)
        groups = _groups(optimizer, target, origin, pairs, tuple(carry))
        report = build_report(target, origin, pairs, how, groups, dry_run=dry_run)
        if not dry_run:
            state = _state(target, origin, pairs)
            optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (TypeError, ValueError) as error:
        text = str(error).removeprefix(f"{name}: ")
        raise type(error)(f"{name} cannot adopt this: {text}") from None
    return report


def renamed(
    state_dict: Mapping[str, Any], rename: Callable[[str], str]
) -> dict[str, Any]:
    """Return a state dict whose parameters have other names; its tensors are shared.

    >>> saved = {"state": {}, "param_groups": [{"params": [0], "param_names": ["a"]}]}
    >>> renamed(saved, str.upper)["param_groups"]
    [{'params': [0], 'param_names': ['A']}]
    """
    check_form(state_dict)
    groups = []
    for group in state_dict["param_groups"]:
        fresh = dict(group)
        for option in ("params", "param_names"):
            fresh[option] = [
                rename(each) if isinstance(each, str) else each
                for each in group.get(option, ())
            ]
        if "param_names" not in group:
            del fresh["param_names"]
        groups.append(fresh)
    state = {
        rename(each) if isinstance(each, str) else each: kept
        for each, kept in state_dict["state"].items()
    }
    return {**state_dict, "state": state, "param_groups": groups}


def _paired(target: OptimizerState, origin: OptimizerState) -> tuple[_Pairs, str]:
    """Return the places of parameters that are the same, and how that was known."""
    own, other = target.entries, origin.entries
    if origin.live:
        places = {id(entry.key): i for i, entry in enumerate(other)}
        found = [places.get(id(entry.key)) for entry in own]
        known = [i for i in found if i is not None]
        if known and len(known) == len(own) == len(other):
            return list(enumerate(known)), "as the same tensors"
        if known:
            raise ValueError(
                f"of {len(own)} parameters here and {len(other)} in the source only "
                f"{len(known)} are the same; give both optimizers the same ones."
            )
    places = {id(entry): i for i, entry in enumerate(other)}
    matched = matching.match(own, other)
    named = all(entry.name is not None for entry in (*own, *other))
    pairs = [(i, places[id(entry)]) for i, entry in enumerate(matched)]
    return pairs, "by name" if named else "by place"


def _refuse_loss(target: OptimizerState, origin: OptimizerState, pairs: _Pairs) -> None:
    """Refuse to put nothing in the place of moments that there are."""
    if any(origin.step(theirs) for _, theirs in pairs):
        return
    if any(target.states[mine] and target.step(mine) for mine, _ in pairs):
        raise ValueError(
            "the source has taken no step and this optimizer has, so all its moments "
            "would be lost; are the arguments swapped? The source is the second one."
        )


def _groups(
    optimizer: torch.optim.Optimizer,
    target: OptimizerState,
    origin: OptimizerState,
    pairs: _Pairs,
    carry: tuple[str, ...],
) -> list[dict[str, Any]]:
    """Return the optimizer's groups, as in a state dict, with what is carried over."""
    groups: list[dict[str, Any]] = optimizer.state_dict()["param_groups"]
    for option in carry:
        for index, group in enumerate(groups):
            values = [
                origin.groups[origin.entries[theirs].group].get(option)
                for mine, theirs in pairs
                if target.entries[mine].group == index
            ]
            if not values:
                continue
            movable = option in group or option == "initial_lr"
            if values[0] is None or not movable or option in (*EXECUTION, *_OURS):
                raise ValueError(
                    f"carry names {option!r}, which is no option that both sides' "
                    "groups have; name such as 'lr', 'initial_lr' or 'weight_decay'."
                )
            if not all(same(values[0], value) for value in values):
                raise ValueError(
                    f"carry names {option!r}, and the parameters of group {index} have "
                    "different values of it in the source; group them as there."
                )
            group[option] = values[0]
    return groups


_OURS = ("params", "param_names", "param_shapes", "format_version", "rule")


def _state(
    target: OptimizerState, origin: OptimizerState, pairs: _Pairs
) -> dict[int, Any]:
    """Return the state of a state dict for the target."""
    state: dict[int, Any] = {}
    for mine, theirs in pairs:
        if not origin.step(theirs):
            continue
        entry = target.entries[mine]
        after = target.rules[entry.group]
        before = origin.rules[origin.entries[theirs].group]
        moments = _converted(origin.moments(theirs), before, after)
        if target.raw:
            state[mine] = _raw(moments)
        else:
            place = mine if entry.name is None else entry.name
            state[mine] = _stored(moments, entry.key, target.groups[entry.group], place)
    return state


def _converted(moments: Moments, before: Rule, after: Rule) -> Moments:
    """Return new moments of one rule that mean what they meant to another."""
    step, momentum, square, peak = moments
    kept = after.momentum.mass(step) / before.momentum.mass(step)

    def square_of(raw: Tensor) -> Tensor:
        masses = before.square.mass(step), after.square.mass(step)
        # Each sample of a rule with eps inside the average has it added.
        moved = after.eps_in - before.eps_in
        return _scaled(raw, masses[1] / masses[0], moved * masses[1])

    if not after.peak:
        peak = None
    elif peak is None:
        peak = square
    return Moments(
        step,
        _scaled(momentum, kept),
        square_of(square),
        None if peak is None else square_of(peak),
    )


def _scaled(moment: Tensor, factor: float, more: float = 0.0) -> Tensor:
    """Return a new tensor ``factor * moment + more``, rounded once."""
    if factor == 1 and more == 0:
        return moment.clone()
    wide = moment.to(torch.complex128 if moment.is_complex() else torch.float64)
    wide = wide * factor
    if more and wide.is_complex():
        torch.view_as_real(wide).add_(more).clamp_(min=0)
    elif more:
        wide.add_(more).clamp_(min=0)
    return wide.to(moment.dtype)


def _raw(moments: Moments) -> dict[str, Tensor]:
    """Return moments as torch keeps them; it counts steps in float32."""
    state = {
        "step": torch.tensor(float(moments.step), dtype=torch.float32, device="cpu"),
        RAW["momentum"]: moments.momentum,
        RAW["square"]: moments.square,
    }
    return state if moments.peak is None else state | {RAW["peak"]: moments.peak}


def _stored(
    moments: Moments, param: Tensor, group: Mapping[str, Any], place: str | int
) -> dict[str, Any]:
    """Return moments as we keep them, rounded with their step's own noise."""
    form = formats.choose(param, group["state_dtype"])
    words = None
    if form.noisy:
        own = key(group["seed"], place, moments.step)
        words = rounding.words(own, param.shape, moments.momentum.device)
    state: dict[str, Any] = {"step": moments.step}
    for name in MOMENTS:
        number: Tensor | None = getattr(moments, name)
        if number is not None:
            state |= formats.entries(form, name, form.encode(name, number, words))
    return state
