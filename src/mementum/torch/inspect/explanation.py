"""What an optimizer does and where it runs, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from mementum.family import explain
from mementum.family.recipes import Recipe
from mementum.family.rule import Rule
from mementum.torch.backends import choose, foreach, is_asynchronous, native
from mementum.torch.backends.layout import is_dense
from mementum.torch.state import State, formats, sharding


def describe(
    recipe: Recipe,
    groups: Sequence[Mapping[str, Any]],
    state: State,
    rules: Sequence[Rule],
    *,
    skipped_steps: int = 0,
) -> str:
    """Return each group's equations, its numbers now, and the path that runs it."""
    parts = [explain.title(recipe)]
    for index, (group, rule) in enumerate(zip(groups, rules, strict=True)):
        parts += _group(index, group, state, rule)
    if skipped_steps:
        parts.append(f"Steps left out for a bad gradient: {skipped_steps:,}")
    return "\n\n".join(parts)


def _group(index: int, group: Mapping[str, Any], state: State, rule: Rule) -> list[str]:
    lr = float(group["lr"])
    elements = sum(p.numel() for p in group["params"] if not is_lazy(p))
    count = len(group["params"])
    latest = max((_steps(state, param) for param in group["params"]), default=0)
    size = f"{_plural(count, 'parameter')}, {_plural(elements, 'element')}"
    return [
        f"Parameter group {index}: {size}, lr {lr:g}",
        explain.equations(rule),
        explain.numbers(rule, lr, max(latest, 1)),
        "\n".join(_runs(group, state)),
    ]


def _runs(group: Mapping[str, Any], state: State) -> Iterator[str]:
    """Yield, for each kind of parameter, the path that runs it and why no faster."""
    alike: dict[tuple[Any, ...], list[Tensor]] = {}
    lazy = [param for param in group["params"] if is_lazy(param)]
    if lazy:
        yield f"{_plural(len(lazy), 'parameter')} without a shape before a forward pass"
    for param in (param for param in group["params"] if not is_lazy(param)):
        stored = formats.choose(param, group["state_dtype"])
        steps = _steps(state, param)
        dense = is_dense(sharding.local(param))
        kind = (param.device, param.dtype, stored, type(param), steps, dense)
        alike.setdefault(kind, []).append(param)
    for (device, dtype, stored, _, steps, _), params in alike.items():
        choice = choose(group, sharding.local(params[0]))
        yield (
            f"{_plural(len(params), 'parameter')}, {_short(dtype)} on {device}, "
            f"moments in {stored.name}, {steps:,} steps taken: "
            f"run by {choice.backend.name}"
        )
        if choice.backend is native:
            yield f"    threads: {native.threads()}"
        if group.get("clip_norm") is not None and is_asynchronous(device):
            yield "    clip_norm: the device adds up the norm in an order of its own;"
            yield "        the factor may differ from a CPU's in the last place"
        if choice.backend is foreach and device.type != "cpu":
            yield f"    cost: {foreach.COST}"
        for name, reason in choice.refusals.items():
            yield f"    not by {name}: {reason}"


def _steps(state: State, param: Tensor) -> int:
    """Return how many steps a parameter has taken."""
    return int(state.get(param, {}).get("step", 0))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
