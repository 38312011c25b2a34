"""What a conversion does, for people."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from mementum.family.memory import Fixed
from mementum.family.rule import Rule
from mementum.torch.convert.optimizer_state import OptimizerState
from mementum.torch.state import formats

_SHOWN, _WIDTH = 3, 80


@dataclass(frozen=True, slots=True)
class Report:
    """What an optimizer takes over from another, and what becomes of it.

    `changes` says for each moment what is done to it; `options` lists hyperparameters
    that differ, as the source and the optimizer have them; `fresh` the parameters that
    have taken no step in the source and begin anew. `steps` are the fewest and the
    most that a parameter has taken. ``str(report)`` is the whole, for people.
    """

    optimizer: str
    source: str
    matched: str
    parameters: int
    elements: int
    steps: tuple[int, int]
    fresh: tuple[str, ...]
    changes: Mapping[str, str]
    options: tuple[tuple[str, str, str], ...]
    dry_run: bool

    def __str__(self) -> str:
        low, high = self.steps
        verb = "would adopt" if self.dry_run else "has adopted"
        rows = {"step": f"{low:,}" if low == high else f"{low:,} to {high:,}"}
        rows |= self.changes
        for name in dict.fromkeys(name for name, *_ in self.options):
            pairs = [pair for option, *pair in self.options if option == name]
            values = [f"{mine} here, {theirs} in the source" for theirs, mine in pairs]
            rest = [f"{len(values) - _SHOWN} more"] * (len(values) > _SHOWN)
            rows[name] = "; ".join([*values[:_SHOWN], *rest])
        if self.fresh:
            more = len(self.fresh) - _SHOWN
            names = ", ".join(self.fresh[:_SHOWN])
            rows["anew"] = f"{names} and {more} more" if more > 0 else names
        width = max(map(len, rows))
        head = (
            f"{self.optimizer} {verb} {self.source}: {self.parameters:,} parameters, "
            f"{self.elements:,} elements, matched {self.matched}"
        )
        return "\n".join(
            [
                _wrapped(head, 4),
                *(
                    _wrapped(f"    {name:<{width}}  {text}", width + 6)
                    for name, text in rows.items()
                ),
                *(["Nothing was changed."] if self.dry_run else []),
            ]
        )


def _wrapped(line: str, indent: int) -> str:
    """Return a line as lines no longer than a terminal is wide."""
    after = " " * indent
    return textwrap.fill(
        line,
        _WIDTH,
        subsequent_indent=after,
        break_long_words=False,
        break_on_hyphens=False,
    )


class _Pairing(NamedTuple):
    """A group and one of the source's that shares parameters: rules and options."""

    rule: Rule
    options: dict[str, str]
    source_rule: Rule
    source_options: dict[str, str]


def build_report(
    target: OptimizerState,
    origin: OptimizerState,
    pairs: Sequence[tuple[int, int]],
    how: str,
    groups: Sequence[Mapping[str, Any]],
    *,
    dry_run: bool,
) -> Report:
    """Return the report of a conversion whose groups will be these."""
    steps = {pair: origin.step(pair[1]) for pair in pairs}
    by_group = {
        (target.entries[mine].group, origin.entries[theirs].group)
        for mine, theirs in pairs
    }
    pairings = [
        _Pairing(
            target.rules[mine],
            _options(groups[mine], target.rules[mine]),
            origin.rules[theirs],
            _options(origin.groups[theirs], origin.rules[theirs]),
        )
        for mine, theirs in sorted(by_group)
    ]
    begun = [pair for pair, step in steps.items() if step]
    return Report(
        optimizer=target.name,
        source=origin.name,
        matched=how,
        parameters=len(pairs),
        elements=sum(entry.key.numel() for entry in target.entries),
        steps=(min(steps.values(), default=0), max(steps.values(), default=0)),
        fresh=tuple(str(target.entries[i]) for (i, _), n in steps.items() if not n),
        changes=_changes(pairings) | _storage(target, origin, begun),
        options=_differences(pairings),
        dry_run=dry_run,
    )


def _changes(pairings: Sequence[_Pairing]) -> dict[str, str]:
    """Return what becomes of each moment."""
    words: dict[str, dict[str, None]] = {"momentum": {}, "square": {}, "peak": {}}
    for mine, _, theirs, _ in pairings:
        alike = mine.momentum == theirs.momentum
        words["momentum"]["as it is" if alike else "the same mean"] = None
        alike = mine.square == theirs.square
        words["square"]["as it is" if alike else "the same mean"] = None
        if mine.square_of != theirs.square_of:
            text = (
                f"a mean of the {theirs.square_of.value}'s square, and of the "
                f"{mine.square_of.value}'s from now on: steps change in size"
            )
            words["square"][text] = None
        if theirs.peak and not mine.peak:
            words["peak"]["dropped: this rule keeps none"] = None
        elif mine.peak:
            text = "the source's" if theirs.peak else "begins at the square"
            words["peak"][text] = None
    if any(own["maximize"] != other["maximize"] for _, own, _, other in pairings):
        text = "of the other sign, so steps go the other way until it has faded"
        words["momentum"][text] = None
    return {name: "; ".join(texts) for name, texts in words.items() if texts}


def _differences(pairings: Sequence[_Pairing]) -> tuple[tuple[str, str, str], ...]:
    """Return the options that differ, as the source and the optimizer have them."""
    differences = {
        (name, other[name], own[name])
        for _, own, _, other in pairings
        for name in own.keys() & other.keys()
        if own[name] != other[name]
    }
    return tuple(sorted(differences))


def _storage(
    target: OptimizerState, origin: OptimizerState, begun: Sequence[tuple[int, int]]
) -> dict[str, str]:
    """Return in what the moments are stored, where that changes."""
    changes: dict[str, None] = {}
    for mine, theirs in begun:
        entry, state = target.entries[mine], origin.states[theirs]
        before = formats.recognize(state["exp_avg" if origin.raw else "momentum"])
        after = formats.recognize(entry.key)
        if not target.raw:
            stored = target.groups[entry.group]["state_dtype"]
            after = formats.choose(entry.key, stored)
        if before != after:
            changes[f"in {after.name}, from {before.name}"] = None
    return {"stored": "; ".join(changes)} if changes else {}


def _options(group: Mapping[str, Any], rule: Rule) -> dict[str, str]:
    """Return the hyperparameters that mean the same in every rule, as words."""
    numbers = {
        name: group[name] for name in ("lr", "eps", "weight_decay") if name in group
    }
    numbers["momentum's beta"] = getattr(rule.momentum, "beta", None)
    square = rule.square
    if isinstance(square, Fixed):
        numbers["memory ratio"] = square.beta
    else:
        numbers["memory ratio"] = math.exp(getattr(square, "log_ratio", 0))
    words = {name: f"{_plain(number):.7g}" for name, number in numbers.items()}
    words["maximize"] = str(bool(group.get("maximize", False)))
    if "decoupled_weight_decay" in group and _plain(rule.weight_decay):
        words["weight decay is"] = "decoupled" if rule.decoupled else "coupled"
    return words


def _plain(number: Any) -> float:
    return float(number.detach() if isinstance(number, Tensor) else number)
