"""What a conversion does, for people."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mementum.family.memory import Fixed
from mementum.family.rule import Rule
from mementum.torch.convert.source import Holding
from mementum.torch.state import formats

SHOWN, WIDTH = 3, 80


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
            found = [f"{mine} here, {theirs} in the source" for theirs, mine in pairs]
            rest = [f"{len(found) - SHOWN} more"] * (len(found) > SHOWN)
            rows[name] = "; ".join([*found[:SHOWN], *rest])
        if self.fresh:
            more = len(self.fresh) - SHOWN
            names = ", ".join(self.fresh[:SHOWN])
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
        WIDTH,
        subsequent_indent=after,
        break_long_words=False,
        break_on_hyphens=False,
    )


def reported(
    target: Holding,
    origin: Holding,
    pairs: Sequence[tuple[int, int]],
    how: str,
    groups: Sequence[Mapping[str, Any]],
    *,
    dry_run: bool,
) -> Report:
    """Return the report of a conversion whose groups will be these."""
    steps = [origin.step(theirs) for _, theirs in pairs]
    begun = [pair for pair, step in zip(pairs, steps, strict=True) if step]
    met = {
        (target.entries[mine].group, origin.entries[theirs].group)
        for mine, theirs in pairs
    }
    rules = [(target.rules[mine], origin.rules[theirs]) for mine, theirs in sorted(met)]
    changes = _changes(rules)
    options: dict[tuple[str, str, str], None] = {}
    for mine, theirs in sorted(met):
        own = _options(groups[mine], target.rules[mine])
        other = _options(origin.groups[theirs], origin.rules[theirs])
        for name in own.keys() & other.keys():
            if own[name] != other[name]:
                options[name, other[name], own[name]] = None
        if own["maximize"] != other["maximize"]:
            text = "of the other sign, so steps go the other way until it has faded"
            changes["momentum"] = "; ".join(
                dict.fromkeys([*changes["momentum"].split("; "), text])
            )
    return Report(
        optimizer=target.name,
        source=origin.name,
        matched=how,
        parameters=len(pairs),
        elements=sum(entry.key.numel() for entry in target.entries),
        steps=(min(steps, default=0), max(steps, default=0)),
        fresh=tuple(
            str(target.entries[mine])
            for (mine, _), step in zip(pairs, steps, strict=True)
            if not step
        ),
        changes=changes | _storage(target, origin, begun),
        options=tuple(sorted(options)),
        dry_run=dry_run,
    )


def _changes(rules: Sequence[tuple[Rule, Rule]]) -> dict[str, str]:
    """Return what becomes of each moment, the rules being ours and the source's."""
    words: dict[str, dict[str, None]] = {"momentum": {}, "square": {}, "peak": {}}
    for mine, theirs in rules:
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
    return {name: "; ".join(texts) for name, texts in words.items() if texts}


def _storage(
    target: Holding, origin: Holding, begun: Sequence[tuple[int, int]]
) -> dict[str, str]:
    """Return in what the moments are stored, where that changes."""
    found: dict[str, None] = {}
    for mine, theirs in begun:
        entry, kept = target.entries[mine], origin.states[theirs]
        before = formats.recognize(kept["exp_avg" if origin.raw else "momentum"])
        after = formats.recognize(entry.key)
        if not target.raw:
            stored = target.groups[entry.group]["state_dtype"]
            after = formats.choose(entry.key, stored)
        if before != after:
            found[f"in {after.name}, from {before.name}"] = None
    return {"stored": "; ".join(found)} if found else {}


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
