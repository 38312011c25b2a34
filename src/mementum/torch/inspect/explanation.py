"""What an optimizer does and where it runs, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mementum.family import explain
from mementum.family.rule import Rule
from mementum.torch.backends import choose
from mementum.torch.state import formats, sharding

if TYPE_CHECKING:
    from mementum.torch.family_optimizer import FamilyOptimizer


def text(optimizer: FamilyOptimizer, rules: list[Rule]) -> str:
    """Return each group's equations, its numbers now, and the path that runs it."""
    recipe = optimizer.recipe
    parts = [explain.title(recipe)]
    for index, rule in enumerate(rules):
        parts += _group(optimizer, index, rule)
    if optimizer.skipped_steps:
        parts.append(f"Steps left out for a bad gradient: {optimizer.skipped_steps:,}")
    return "\n\n".join(parts)


def _group(optimizer: FamilyOptimizer, index: int, rule: Rule) -> list[str]:
    group = optimizer.param_groups[index]
    lr = float(group["lr"])
    elements = sum(param.numel() for param in group["params"])
    count = len(group["params"])
    states = [optimizer.state[p] for p in group["params"] if p in optimizer.state]
    latest = max((int(state["step"]) for state in states if state), default=1)
    size = f"{_plural(count, 'parameter')}, {_plural(elements, 'element')}"
    return [
        f"Parameter group {index}: {size}, lr {lr:g}",
        explain.equations(rule),
        explain.numbers(rule, lr, max(latest, 1)),
        "\n".join(_runs(optimizer, group)),
    ]


def _runs(optimizer: FamilyOptimizer, group: dict[str, Any]) -> Iterator[str]:
    """Yield, for each kind of parameter, the path that runs it and why no faster."""
    alike: dict[tuple[Any, ...], list[Tensor]] = {}
    for param in group["params"]:
        step = int(optimizer.state[param]["step"]) if param in optimizer.state else 0
        stored = formats.choose(param, group["state_dtype"])
        kind = (param.device, param.dtype, stored, type(param), step)
        alike.setdefault(kind, []).append(param)
    for (device, dtype, stored, _, step), params in alike.items():
        choice = choose(group, sharding.local(params[0]))
        yield (
            f"{_plural(len(params), 'parameter')}, {_short(dtype)} on {device}, "
            f"moments in {stored.name}, {step:,} steps taken: "
            f"run by {choice.backend.name}"
        )
        for name, reason in choice.refusals.items():
            yield f"    not by {name}: {reason}"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
