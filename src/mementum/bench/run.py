"""The whole measurement: a heat for each class on each case, and the rows it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mementum.bench.case import CASES, Case, Layout
from mementum.bench.clock import (
    Spread,
    alternate,
    alternate_iterations,
    ratio,
    spread,
)
from mementum.bench.entrant import (
    AMSGRAD,
    CLASSES,
    CLIPPING,
    FORMATS,
    FUSED,
    TORCH,
    VARIANTS,
    Entrant,
    of_class,
    of_class_in_loop,
    of_torch,
    of_torch_in_loop,
    peer,
    reference,
)
from mementum.bench.training import TRAININGS, Training

# All that can be measured: steps in training loops, and steps alone.
MEASURED: dict[str, Training | Case] = {**TRAININGS, **CASES}
# Seconds for each heat, and the classes, of a measurement and of a quick look.
BUDGET, QUICK_BUDGET = 3.0, 0.3
# An iteration takes so much longer than its step that a heat of it is longer too.
_IN_LOOP = 4
# Which of our optimizers is also timed as each of the variants.
_VARIED = "AdamW"
QUICK = ("AdamW", "AMSGrad", "AdaXW")
DENSE = "the dense one"


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure: names of cases and classes, and the seconds for each heat."""

    cases: tuple[str, ...] = tuple(MEASURED)
    classes: tuple[str, ...] = tuple(CLASSES)
    budget: float = BUDGET

    def heats(self) -> list[Heat]:
        """Return the parts of the measurement, torch's own steps first in a case."""
        members = (None, *self.classes)
        return [Heat(MEASURED[case], name) for case in self.cases for name in members]


class Heat(NamedTuple):
    """What is timed together: a class in all formats, or (None) torch's ways."""

    case: Training | Case
    member: str | None

    @property
    def title(self) -> str:
        """Return who is timed on what."""
        return f"{self.case.name}, {self.member or 'torch'}"

    @property
    def budgets(self) -> int:
        """Return how many times the budget it takes."""
        return _IN_LOOP if isinstance(self.case, Training) else 1


@dataclass(frozen=True, slots=True)
class Row:
    """What one entrant took: seconds a step, and ratios to what it is measured by.

    `seconds` has the quartiles, the ratios their 95 % intervals. `beside` names the
    reference of `ratio`. `bytes` is what a step must move. In a training loop,
    `iteration` is the seconds of a whole iteration and `iteration_ratio` their ratio
    to the reference's.
    """

    case: str
    name: str
    state: str
    rounds: int
    bytes: int
    seconds: Spread
    beside: str | None = None
    ratio: Spread | None = None
    of_floor: Spread | None = None
    iteration: Spread | None = None
    iteration_ratio: Spread | None = None

    @property
    def gigabytes_per_second(self) -> float:
        """Return how fast the bytes moved that the step must move."""
        return self.bytes / self.seconds.median / 1e9


def measure(request: Request, tell: Callable[[Heat, int], None]) -> Iterator[Row]:
    """Yield the rows of a request as they come.

    `tell` hears of each heat before it is run, and how many were.
    """
    for done, heat in enumerate(request.heats()):
        tell(heat, done)
        yield from run(heat, request.budget * heat.budgets)


def run(heat: Heat, budget: float) -> list[Row]:
    """Return the rows of one heat, which takes its seconds in `budget`."""
    entered = _entered(heat)
    times, wholes = _timed([entry.entrant for entry in entered], budget)
    places = {id(entry.entrant): i for i, entry in enumerate(entered)}

    def against(
        seconds: list[list[float]], i: int, other: Entrant | None
    ) -> Spread | None:
        if other is None or not seconds:
            return None
        return ratio(seconds[i], seconds[places[id(other)]])

    return [
        Row(
            case=heat.case.name,
            name=entry.entrant.name,
            state=entry.entrant.form,
            rounds=len(times[i]),
            bytes=entry.entrant.bytes,
            seconds=spread(times[i]),
            beside=entry.beside,
            ratio=against(times, i, entry.reference),
            of_floor=against(times, i, entry.floor),
            iteration=spread(wholes[i]) if wholes else None,
            iteration_ratio=against(wholes, i, entry.reference),
        )
        for i, entry in enumerate(entered)
        if entry.shown
    ]


def _timed(
    entrants: list[Entrant], budget: float
) -> tuple[list[list[float]], list[list[float]]]:
    """Return the seconds of steps and, in a training loop, of the iterations."""
    loops = [each.iteration for each in entrants if each.iteration is not None]
    if not loops:
        return alternate([each.step for each in entrants], budget), []
    steps, wholes = zip(*alternate_iterations(loops, budget), strict=True)
    return list(steps), list(wholes)


class _Entry(NamedTuple):
    """An entrant, what it is measured by and under what name, and if it is a row."""

    entrant: Entrant
    beside: str | None = None
    reference: Entrant | None = None
    floor: Entrant | None = None
    shown: bool = True


def _entered(heat: Heat) -> list[_Entry]:
    case, member = heat
    if isinstance(case, Training):
        return _torch_in_loop(case) if member is None else _ours_in_loop(case, member)
    return _torch(case) if member is None else _ours(case, member)


def _torch_in_loop(training: Training) -> list[_Entry]:
    fused = of_torch_in_loop(training, FUSED)
    others = [of_torch_in_loop(training, name) for name in (AMSGRAD, CLIPPING)]
    return [_Entry(fused), *(_Entry(other, FUSED, fused) for other in others)]


def _ours_in_loop(training: Training, name: str) -> list[_Entry]:
    judges = {peer(name): of_torch_in_loop(training, peer(name))}
    entries: list[_Entry] = []
    for form in FORMATS:
        entrant = of_class_in_loop(training, name, form)
        if entrant.bytes not in [entry.entrant.bytes for entry in entries]:
            entries.append(_Entry(entrant, peer(name), judges[peer(name)]))
    for variant, (_, beside) in VARIANTS.items() if name == _VARIED else ():
        if beside not in judges:
            judges[beside] = of_torch_in_loop(training, beside)
        entrant = of_class_in_loop(training, name, variant=variant)
        entries.append(_Entry(entrant, beside, judges[beside]))
    return [*(_Entry(judge, shown=False) for judge in judges.values()), *entries]


def _torch(case: Case) -> list[_Entry]:
    gradients = case.gradients()
    if case.layout is not Layout.DENSE:
        unfused = [name for name, flags in TORCH.items() if "fused" not in flags]
        return [_Entry(of_torch(case, gradients, name)[0]) for name in unfused]
    fused, floor = of_torch(case, gradients, FUSED)
    entries = [_Entry(fused, floor=floor)]
    if floor is not None:
        entries.insert(0, _Entry(floor))
    for name in TORCH:
        if name == FUSED:
            continue
        entrant, own = of_torch(case, gradients, name)
        if entrant.bytes != fused.bytes and own is not None:
            entries.append(_Entry(own, shown=False))
        else:
            own = floor
        entries.append(_Entry(entrant, FUSED, fused, own))
    return entries


def _ours(case: Case, name: str) -> list[_Entry]:
    gradients = case.gradients()
    entries: list[_Entry] = []
    beside = reference(case, name)
    judge: Entrant | None = None
    if beside is not None:
        judge, _ = of_torch(case, gradients, beside)
        entries.append(_Entry(judge, shown=False))
    for form in FORMATS:
        entrant, floor = of_class(case, gradients, name, form)
        if entrant.bytes in [entry.entrant.bytes for entry in entries if entry.shown]:
            continue  # Its moments are too small for this format, and kept as before.
        other = judge
        if beside is None:
            other, floor = of_class(case, gradients, name, form, dense=True)
            entries.append(_Entry(other, shown=False))
        if floor is not None:
            entries.append(_Entry(floor, shown=False))
        entries.append(_Entry(entrant, beside or DENSE, other, floor))
    return entries
