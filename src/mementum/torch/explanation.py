"""What an optimizer does and where it runs, for people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mementum import explain
from mementum.rule import Rule
from mementum.torch.backends import choose

if TYPE_CHECKING:
    from mementum.torch.optimizer import FamilyOptimizer


def text(optimizer: FamilyOptimizer, rules: list[Rule]) -> str:
    """Return each group's equations, its numbers now, and the path that runs it."""
    recipe = optimizer.recipe
    parts = [f"{recipe.name}: {recipe.summary}\nSource: {recipe.paper}"]
    for index, rule in enumerate(rules):
        parts += _group(optimizer, index, rule)
    if optimizer.skipped_steps:
        parts.append(f"Steps left out for a bad gradient: {optimizer.skipped_steps:,}")
    return "\n\n".join(parts)


def _group(optimizer: FamilyOptimizer, index: int, rule: Rule) -> list[str]:
    group = optimizer.param_groups[index]
    lr = float(group["lr"])
    buckets = _buckets(optimizer, group)
    elements = sum(param.numel() for param in group["params"])
    count = len(group["params"])
    latest = max(step for _, step in buckets)
    size = f"{_plural(count, 'parameter')}, {_plural(elements, 'element')}"
    return [
        f"Parameter group {index}: {size}, lr {lr:g}",
        explain.equations(rule),
        explain.numbers(rule, lr, max(latest, 1)),
        "\n".join([_path(group), *_lines(buckets)]),
    ]


def _path(group: dict[str, Any]) -> str:
    choice = choose(group)
    refused = "".join(
        f"\n    not by {name}: {reason}" for name, reason in choice.refusals.items()
    )
    return f"Run by {choice.backend.name}:{refused}"


def _buckets(
    optimizer: FamilyOptimizer, group: dict[str, Any]
) -> Counter[tuple[str, int]]:
    """Return how many parameters share each kind and number of steps taken."""
    return Counter(
        (
            f"{str(param.dtype).removeprefix('torch.')} on {param.device}",
            int(optimizer.state[param]["step"]) if param in optimizer.state else 0,
        )
        for param in group["params"]
    )


def _lines(buckets: Counter[tuple[str, int]]) -> list[str]:
    return [
        f"    {_plural(count, 'parameter')}, {kind}, {_plural(step, 'step')} taken"
        for (kind, step), count in buckets.items()
    ]


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
