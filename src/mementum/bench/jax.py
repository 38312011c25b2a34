"""Steps under jit in JAX, beside optax's: `mementum bench --jax`. It needs no torch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import optax as peers

from mementum import machine, optax
from mementum.bench import chart, names
from mementum.bench.chart import Mark, Panel
from mementum.bench.clock import Spread, alternate_samples, ratio, short, spread
from mementum.bench.measurement import Measurement, disturbance, plain, report
from mementum.family.recipes import RECIPES

# Rounds, and steps before the first that is timed.
ROUNDS, QUICK_ROUNDS = (40, 3), (10, 2)
FORMATS = ("float32", "bfloat16")
QUICK = ("AdamW", "AdaXW", "AMSGrad")
_LR = 1e-3
# 31 leaves of 4,195,840 elements.
SHAPES = ((512, 512),) * 15 + ((512,),) * 15 + ((500, 512),)
_HEAD = (
    f"  {'':<17} {'state':<9} {'ms/step':>8} {'spread':>7} {'ratio':>6} {'95 %':>12} "
    f"{'compile s':>10}"
)
_NOTES = (
    "A step is an update and its application in one jit, with parameters and state\n"
    "donated. ms/step: median; spread: half the distance of its quartiles. ratio:\n"
    "to optax.adamw (optax.amsgrad where the peak is kept) with optax's own\n"
    "defaults, the median of the rounds' ratios, and its interval. bfloat16: both\n"
    "moments, with noise."
)


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure: names of classes, on a tree of leaves of these shapes."""

    classes: tuple[str, ...]
    formats: tuple[str, ...] = FORMATS
    rounds: tuple[int, int] = ROUNDS
    shapes: tuple[tuple[int, ...], ...] = SHAPES

    def heats(self) -> list[Heat]:
        """Return the parts of the measurement."""
        return [Heat(name) for name in self.classes]


@dataclass(frozen=True, slots=True)
class Heat:
    """A member in each format, and the one of optax's that it is measured by."""

    member: str

    @property
    def title(self) -> str:
        """Return who is timed."""
        return f"{self.member} beside optax"

    @property
    def peer(self) -> str:
        """Return which of optax's transformations keeps as many moments."""
        peak = RECIPES[self.member].function().peak
        return "amsgrad" if peak else "adamw"


@dataclass(frozen=True, slots=True)
class Row:
    """What one entrant took, in seconds; `ratio` is to optax's of the same heat."""

    name: str
    state: str
    rounds: int
    seconds: Spread
    compile: float
    ratio: Spread | None = None


def request(classes: str | None, *, quick: bool) -> Request:
    """Return what a list of names with commas asks for; None asks for all.

    Errors: `ValueError` for a name of nothing, with the nearest ones.
    """
    asked = names.classes(classes) or (QUICK if quick else names.CLASSES)
    if quick:
        return Request(asked, FORMATS[:1], QUICK_ROUNDS)
    return Request(asked)


def bench(asked: Request, *, as_json: bool, plot: Path | None) -> int:
    """Measure steps under jit; see `measurement.report`."""
    load = machine.load()
    measurement = Measurement(
        lambda: [1.0 for _ in asked.heats()],
        partial(measure, asked),
        lambda rows: text(rows, asked, load),
        lambda rows: data(rows, asked, load),
        lambda rows, path: chart.draw(panels(rows), path),
    )
    return report(measurement, as_json=as_json, plot=plot)


def measure(asked: Request, tell: Callable[[Heat, int], None]) -> Iterator[Row]:
    """Yield the rows of a request as they come; `tell` hears of each heat before."""
    for done, heat in enumerate(asked.heats()):
        tell(heat, done)
        yield from run(heat, asked)


def run(heat: Heat, asked: Request) -> list[Row]:
    """Return the rows of one heat."""
    build = getattr(optax, heat.member.lower())
    entrants = [(f"optax {heat.peer}", "float32", getattr(peers, heat.peer)(_LR))]
    entrants += [
        (heat.member, form, build(_LR, state_dtype=None if form == "float32" else form))
        for form in asked.formats
    ]
    warm = asked.rounds[1]
    steps, compiled = [], []
    for _, _, transformation in entrants:
        begin = time.perf_counter()
        steps.append(_step(transformation, asked.shapes))
        steps[-1]()
        compiled.append(time.perf_counter() - begin)
    for step in steps * (warm - 1):
        step()
    times = alternate_samples(
        [partial(_timed, step) for step in steps], asked.rounds[0]
    )
    return [
        Row(
            name,
            state,
            asked.rounds[0],
            spread(own),
            compiled[i],
            ratio(own, times[0]) if i else None,
        )
        for i, ((name, state, _), own) in enumerate(zip(entrants, times, strict=True))
    ]


def _step(
    transformation: Any, shapes: Sequence[tuple[int, ...]]
) -> Callable[[], object]:
    """Return a step that goes on from where the last one ended."""
    keys = jax.random.split(jax.random.key(0), 2 * len(shapes))
    draw = jax.random.normal
    params: Any = [draw(key, shape) for key, shape in zip(keys, shapes, strict=False)]
    grads = [
        draw(key, shape) / 100
        for key, shape in zip(keys[len(shapes) :], shapes, strict=True)
    ]

    @partial(jax.jit, donate_argnums=(0, 1))
    def advance(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = transformation.update(grads, state, params)
        return peers.apply_updates(params, updates), state

    held = [params, jax.jit(transformation.init)(params)]

    def step() -> object:
        held[:] = advance(*held, grads)
        for leaf in jax.tree.leaves(held):
            leaf.block_until_ready()
        return held

    return step


def _timed(step: Callable[[], object]) -> float:
    # What is in the caches is then its own, whoever had the turn before.
    step()
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def text(rows: Sequence[Row], asked: Request, load: float | None) -> str:
    """Return the machine, a table, and what its columns mean."""
    facts = _facts(asked, load)
    said = [f"{name} {value}" for name, value in facts.items() if name in _SAID]
    lines = [
        f"{facts['processor']}, {facts['cores']} cores, on {facts['device']}",
        ", ".join(said),
        f"{facts['leaves']} leaves, {facts['elements']:,} elements",
    ]
    if load is not None:
        lines.append(f"load of the minute before: {load:.1f}")
    table = "\n".join([_HEAD, *map(_line, rows)])
    warning = disturbance([row.seconds for row in rows])
    return "\n\n".join(["\n".join(lines), table, _NOTES, *warning])


_SAID = ("Python", "jax", "optax")


def data(rows: Sequence[Row], asked: Request, load: float | None) -> dict[str, Any]:
    """Return the machine and the rows as JSON can hold them; times in seconds."""
    return {"machine": _facts(asked, load), "rows": [plain(row) for row in rows]}


def panels(rows: Sequence[Row]) -> list[Panel]:
    """Return one panel with each entrant's ratio to optax's."""
    marks = [
        Mark(row.name, f"{row.state} state", row.ratio)
        for row in rows
        if row.ratio is not None
    ]
    return [Panel("a step under jit", "times optax's", marks)] if marks else []


def _facts(asked: Request, load: float | None) -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "processor": machine.processor(),
        "cores": machine.cores(),
        "device": f"{device.platform}: {device.device_kind}",
        "jax": jax.__version__,
        "optax": machine.version("optax"),
        "leaves": len(asked.shapes),
        "elements": sum(map(math.prod, asked.shapes)),
        "load": load,
        **machine.versions(),
    }


def _line(row: Row) -> str:
    line = (
        f"  {row.name:<17} {row.state:<9} {row.seconds.median * 1e3:>8.2f} "
        f"{row.seconds.around:>7.0%}"
    )
    if row.ratio is None:
        return f"{line} {'':>6} {'':>12} {row.compile:>10.1f}"
    interval = f"{short(row.ratio.low)}-{short(row.ratio.high)}"
    return f"{line} {short(row.ratio.median):>6} {interval:>12} {row.compile:>10.1f}"
