"""What an optimizer does and where it runs, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from mementum.family import explain, markup
from mementum.family.recipes import Recipe
from mementum.family.rule import Rule
from mementum.torch.backends import Choice, choose, foreach, is_asynchronous, native
from mementum.torch.backends.layout import is_dense
from mementum.torch.state import State, formats, sharding


class Explanation(str):
    """What an optimizer does, in words; a notebook shows the same as tables."""

    html: str | None = None

    def _repr_html_(self) -> str | None:
        return self.html


@dataclass(frozen=True, slots=True)
class _Run:
    """Parameters of a group that one path runs, alike in all that it looks at."""

    params: int
    dtype: str
    device: str
    moments: str
    steps: int
    path: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        line = (
            f"{_plural(self.params, 'parameter')}, {self.dtype} on {self.device}, "
            f"moments in {self.moments}, {self.steps:,} steps taken: "
            f"run by {self.path}"
        )
        notes = (note.replace("\n", "\n        ") for note in self.notes)
        return "\n    ".join([line, *notes])

    def cells(self) -> list[str]:
        notes = "; ".join(note.replace("\n", " ") for note in self.notes)
        count, steps = f"{self.params:,}", f"{self.steps:,}"
        kind = [self.dtype, self.device, self.moments]
        return [count, *kind, steps, self.path, notes]


_RUN_CELLS = (
    *("group", "parameters", "dtype", "device", "moments", "steps taken", "run by"),
    "notes",
)


@dataclass(frozen=True, slots=True)
class _Group:
    """What there is to say of a parameter group."""

    params: int
    elements: int
    lazy: int
    lr: float
    step: int
    rule: Rule
    runs: tuple[_Run, ...]

    def text(self, index: int) -> list[str]:
        params = _plural(self.params, "parameter")
        size = f"{params}, {_plural(self.elements, 'element')}"
        lazy = [_lazy(self.lazy)] if self.lazy else []
        return [
            f"Parameter group {index}: {size}, lr {self.lr:g}",
            explain.equations(self.rule),
            explain.numbers(self.rule, self.lr, self.step),
            "\n".join([*lazy, *map(str, self.runs)]),
        ]

    def numbers(self) -> dict[str, str]:
        named = self.rule.at(self.step, self.lr)._asdict()
        return {
            "parameters": f"{self.params:,}",
            "elements": f"{self.elements:,}",
            "lr": f"{self.lr:g}",
            "step": f"{self.step:,}",
            **{name: f"{float(value):.6g}" for name, value in named.items()},
        }


def describe(
    recipe: Recipe,
    groups: Sequence[Mapping[str, Any]],
    state: State,
    rules: Sequence[Rule],
    *,
    skipped_steps: int = 0,
) -> Explanation:
    """Return each group's equations, its numbers now, and the path that runs it."""
    found = [_read(*each, state) for each in zip(groups, rules, strict=True)]
    skipped = f"Steps left out for a bad gradient: {skipped_steps:,}"
    closing = [skipped] if skipped_steps else []
    parts = [part for i, group in enumerate(found) for part in group.text(i)]
    said = Explanation("\n\n".join([explain.title(recipe), *parts, *closing]))
    opening = [f"{recipe.name}: {recipe.summary}", f"Source: {recipe.paper}"]
    first, last = (map(markup.paragraph, each) for each in (opening, closing))
    said.html = "\n".join([*first, *_tables(found), *last])
    return said


def _tables(groups: Sequence[_Group]) -> Iterator[str]:
    """Yield the equations, the numbers of all groups, and what runs each."""
    alike: dict[str, list[str]] = {}
    for index, group in enumerate(groups):
        alike.setdefault(explain.equations(group.rule), []).append(str(index))
    for equations, indices in alike.items():
        noun = "group" if len(indices) == 1 else "groups"
        yield markup.paragraph(f"Parameter {noun} {', '.join(indices)}:")
        yield markup.preformatted(equations)
    columns = [group.numbers() for group in groups]
    names = dict.fromkeys(name for each in columns for name in each)
    rows = [[name, *(each[name] for each in columns)] for name in names]
    head = ["", *(f"group {index}" for index in range(len(groups)))]
    yield markup.table([head, *rows], caption="Numbers of a step")
    runs = [
        [str(index), *run.cells()]
        for index, group in enumerate(groups)
        for run in group.runs
    ]
    yield markup.table([_RUN_CELLS, *runs], caption="What runs them")
    for index, group in enumerate(groups):
        if group.lazy:
            yield markup.paragraph(f"Parameter group {index}: {_lazy(group.lazy)}")


def _read(group: Mapping[str, Any], rule: Rule, state: State) -> _Group:
    params = group["params"]
    latest = max((_steps(state, param) for param in params), default=0)
    return _Group(
        params=len(params),
        elements=sum(p.numel() for p in params if not is_lazy(p)),
        lazy=sum(map(is_lazy, params)),
        lr=float(group["lr"]),
        step=max(latest, 1),
        rule=rule,
        runs=tuple(_runs(group, state)),
    )


def _runs(group: Mapping[str, Any], state: State) -> Iterator[_Run]:
    """Yield, for each kind of parameter, the path that runs it and why no faster."""
    alike: dict[tuple[Any, ...], list[Tensor]] = {}
    for param in (param for param in group["params"] if not is_lazy(param)):
        stored = formats.choose(param, group["state_dtype"])
        steps = _steps(state, param)
        dense = is_dense(sharding.local(param))
        kind = (param.device, param.dtype, stored, type(param), steps, dense)
        alike.setdefault(kind, []).append(param)
    for (device, dtype, stored, _, steps, _), params in alike.items():
        choice = choose(group, sharding.local(params[0]))
        yield _Run(
            params=len(params),
            dtype=_short(dtype),
            device=str(device),
            moments=stored.name,
            steps=steps,
            path=choice.backend.name,
            notes=tuple(_notes(group, device, choice)),
        )


def _notes(
    group: Mapping[str, Any], device: torch.device, choice: Choice
) -> Iterator[str]:
    """Yield what qualifies a path, and why no faster one runs."""
    if choice.backend is native:
        yield f"threads: {native.threads()}"
    if group.get("clip_norm") is not None and is_asynchronous(device):
        yield (
            "clip_norm: the device adds up the norm in an order of its own;\n"
            "the factor may differ from a CPU's in the last place"
        )
    if choice.backend is foreach and device.type != "cpu":
        yield f"cost: {foreach.COST}"
    for name, reason in choice.refusals.items():
        yield f"not by {name}: {reason}"


def _lazy(count: int) -> str:
    return f"{_plural(count, 'parameter')} without a shape before a forward pass"


def _steps(state: State, param: Tensor) -> int:
    """Return how many steps a parameter has taken."""
    return int(state.get(param, {}).get("step", 0))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
