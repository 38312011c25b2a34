"""The measurement on a GPU: a heat for each list, class and dtype of parameters."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn import Parameter

from mementum.bench.case import ON_GPU, Case
from mementum.bench.clock import LEAST, Spread, alternate_samples, ratio, spread
from mementum.bench.entrant import AMSGRAD, FUSED, Entrant, built, moved, peer
from mementum.bench.gpu.device import Device, Times
from mementum.torch.backends import choose
from mementum.torch.state.formats import SCALE

COPY = "copy"
CAPTURABLE = "capturable"
# torch's steps of the same parameters; each with amsgrad where ours keeps a peak.
TORCH: dict[str, dict[str, bool]] = {
    FUSED: {"fused": True},
    "torch foreach": {"foreach": True},
    f"torch {CAPTURABLE}": {"fused": True, "capturable": True},
}
# Steps before the first that is timed, rounds, and rounds behind other work.
ROUNDS, QUICK_ROUNDS = (5, 30, 10), (2, LEAST, 3)
# Bytes that a copy reads, if the device has sixteen times as many free.
_COPIED = 1 << 30
# Tensors as large as a parameter that torch's foreach step holds meanwhile.
_TEMPORARY = 3


class Format(NamedTuple):
    """What parameters and moments are stored in, and if parameters meet noise."""

    params: torch.dtype
    state: str
    rounds: bool = False

    @property
    def name(self) -> str:
        """Return the word for it: parameters and, if it is another, state."""
        params = str(self.params).removeprefix("torch.")
        return params if params == self.state else f"{params}+{self.state}"


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format(torch.float32, "float32"),
        Format(torch.float32, "bfloat16"),
        Format(torch.float32, "float8"),
        Format(torch.bfloat16, "float32"),
        Format(torch.bfloat16, "bfloat16", rounds=True),
        Format(torch.bfloat16, "float8", rounds=True),
    )
}
QUICK = ("float32", "bfloat16", "bfloat16+float8")
# What is timed unless classes are named.
_DEFAULT = {"AdamW": tuple(FORMATS), "AMSGrad": ("float32",)}


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure: names of cases, and of the formats of each class."""

    cases: tuple[str, ...]
    formats: dict[str, tuple[str, ...]]
    rounds: tuple[int, int, int] = ROUNDS

    def heats(self) -> list[Heat]:
        """Return the parts of the measurement."""
        return [
            Heat(ON_GPU[case], name, tuple(own))
            for case in self.cases
            for name, names in self.formats.items()
            for own in _by_params(FORMATS[each] for each in names)
        ]


def request(
    device: Device,
    *,
    cases: tuple[str, ...] | None = None,
    classes: tuple[str, ...] | None = None,
    formats: tuple[str, ...] | None = None,
    quick: bool = False,
) -> Request:
    """Return what to measure; None asks for all that makes sense on the device."""
    small = device.at.type == "cpu"
    if cases is None:
        cases = tuple(name for name in ON_GPU if (name == "tiny") == small)
    asked = formats or (QUICK if quick else tuple(FORMATS))
    if classes is not None:
        chosen = dict.fromkeys(classes, asked)
    else:
        chosen = {
            name: own
            for name, known in _DEFAULT.items()
            if (own := tuple(form for form in asked if form in known))
        }
    return Request(cases, chosen or {"AdamW": asked}, QUICK_ROUNDS if quick else ROUNDS)


class Heat(NamedTuple):
    """What is timed together: a class in formats of the same parameters, and torch."""

    case: Case
    member: str
    formats: tuple[Format, ...]

    @property
    def title(self) -> str:
        """Return who is timed on what."""
        return f"{self.case.name}, {self.member}, {self.params} parameters"

    @property
    def params(self) -> str:
        """Return the dtype of the parameters."""
        return str(self.formats[0].params).removeprefix("torch.")

    @property
    def peak(self) -> bool:
        """Return whether a third moment is kept."""
        return peer(self.member) == AMSGRAD

    def rival(self, way: str) -> str:
        """Return the name of one of torch's steps as it is taken here."""
        return way.replace("torch", "amsgrad") if self.peak else way

    @property
    def captured(self) -> Format | None:
        """Return which format is also timed with its numbers on the device.

        Of three moments, one more set would not fit where the others do.
        """
        plain = [form for form in self.formats if form.state == "float32"]
        return plain[0] if plain and not self.peak else None

    @property
    def nbytes(self) -> int:
        """Return the bytes that all of it needs at once, about."""
        width = self.formats[0].params.itemsize
        moments = 3 if self.peak else 2
        sizes = {"float32": 4, "bfloat16": 2, "float8": 1}
        ours = [sizes[form.state] for form in self.formats]
        ours += [sizes["float32"]] * (self.captured is not None)
        states = moments * (sum(ours) + len(TORCH) * width)
        return self.case.elements * (states + (2 + _TEMPORARY) * width)


@dataclass(frozen=True, slots=True)
class Row:
    """What one entrant took, in seconds: medians and quartiles.

    `step` is between events around a step on an idle device, `behind` the same behind
    other work, so without the host's time, and `host` until the call returned. `first`
    is that of the very first step, with whatever it compiles. `ratio` is to torch's
    fused step of the same parameters, with its 95 % interval, and `of_copy` the speed
    with which the `bytes` moved that a step must move, to a copy's. `path` names the
    backend that ran, and `refusal` says why Triton did not. `peak` is the bytes
    allocated at the peak of a step.
    """

    case: str
    name: str
    params: str
    state: str
    rounds: int
    elements: int
    bytes: int
    step: Spread
    behind: Spread
    host: Spread
    first: float
    of_copy: float
    ratio: Spread | None = None
    peak: int | None = None
    path: str | None = None
    refusal: str | None = None


class LeftOut(NamedTuple):
    """A part of the measurement that did not fit the device, and why."""

    title: str
    reason: str


def _by_params(formats: Iterable[Format]) -> list[list[Format]]:
    """Return formats that have the same parameters together."""
    alike: dict[torch.dtype, list[Format]] = {}
    for form in formats:
        alike.setdefault(form.params, []).append(form)
    return list(alike.values())


def measure(
    request: Request, device: Device, tell: Callable[[Heat, int], None]
) -> Iterator[Row | LeftOut]:
    """Yield the rows of a request as they come.

    `tell` hears of each heat before it is run, and how many were.
    """
    for done, heat in enumerate(request.heats()):
        tell(heat, done)
        yield from run(heat, device, request.rounds)


def run(
    heat: Heat, device: Device, rounds: tuple[int, int, int] = ROUNDS
) -> list[Row] | list[LeftOut]:
    """Return the rows of one heat, or why it was left out."""
    gc.collect()
    free = device.free()
    needed = heat.nbytes + 2 * _copied(free)
    if free is not None and needed > free:
        reason = f"wants {needed / 1e9:.1f} GB, and {free / 1e9:.1f} are free"
        return [LeftOut(heat.title, reason)]
    try:
        with device.current():
            return _rows(heat, device, rounds, free)
    except torch.OutOfMemoryError:
        return [LeftOut(heat.title, "ran out of the device's memory")]


class _Entry(NamedTuple):
    """An entrant, how long its first step took, and who ran it."""

    entrant: Entrant
    first: float
    path: str | None = None
    refusal: str | None = None


def _rows(
    heat: Heat, device: Device, rounds: tuple[int, int, int], free: int | None
) -> list[Row]:
    warm, timed, hidden = rounds
    entries = _entered(heat, device, free)
    steps = [entry.entrant.step for entry in entries]
    for step in steps * (warm - 1):
        step()
    peaks = [device.peak(step) for step in steps]
    plain = alternate_samples([partial(device.sample, s) for s in steps], timed)
    fillers = _fillers(steps[0], plain)
    behind = alternate_samples(
        [partial(device.sample, *each) for each in zip(steps, fillers, strict=True)],
        hidden,
    )
    by_step = [[each.step for each in times] for times in plain]
    # The copy comes first, and torch's fused step second.
    copied = entries[0].entrant.bytes / spread(by_step[0]).median
    return [
        Row(
            case=heat.case.name,
            name=entry.entrant.name,
            params=heat.params,
            state=entry.entrant.form,
            rounds=timed,
            elements=heat.case.elements,
            bytes=entry.entrant.bytes,
            step=(taken := spread(by_step[i])),
            behind=spread([each.step for each in behind[i]]),
            host=spread([each.host for each in plain[i]]),
            first=entry.first,
            of_copy=entry.entrant.bytes / taken.median / copied,
            ratio=ratio(by_step[i], by_step[1]) if i > 1 else None,
            peak=peaks[i],
            path=entry.path,
            refusal=entry.refusal,
        )
        for i, entry in enumerate(entries)
    ]


def _fillers(
    copy: Callable[[], object], plain: list[list[Times]]
) -> Iterator[Callable[[], None]]:
    """Yield, for each entrant, work that lasts longer than the host's part of it."""
    once = spread([each.step for each in plain[0]]).median

    def copies(count: int) -> None:
        for _ in range(count):
            copy()

    for times in plain:
        host = spread([each.host for each in times]).median
        yield partial(copies, 1 + math.ceil(2 * host / once))


def _entered(heat: Heat, device: Device, free: int | None) -> list[_Entry]:
    """Return the copy, torch's and ours; they share parameters and gradients."""
    gradients = heat.case.gradients(device.at, heat.formats[0].params)
    params = heat.case.parameters(gradients)
    entries = [_copy(device, free)]
    for way, flags in TORCH.items():
        name = heat.rival(way)
        if device.at.type == "cpu" and "capturable" in flags:
            continue  # torch has none for the CPU.
        build: Any = torch.optim.AdamW
        optimizer = build(params, amsgrad=heat.peak, **flags)
        entries.append(_entry(device, name, heat.params, optimizer, params))
    for form in heat.formats:
        flags = {"stochastic_rounding": True} if form.rounds else {}
        own = built(heat.member, params, form.state, flags)
        entry = _entry(device, heat.member, form.state, own, params)
        if form.state == "float8" and not _holds_codes(own):
            continue  # Its tensors are too small for float8, and kept as before.
        entries.append(entry)
    if heat.captured is not None:
        own = built(heat.member, params, heat.captured.state, {"capturable": True})
        name = f"{heat.member} {CAPTURABLE}"
        entries.append(_entry(device, name, heat.captured.state, own, params))
    return entries


def _holds_codes(optimizer: torch.optim.Optimizer) -> bool:
    return any(f"square{SCALE}" in own for own in optimizer.state.values())


def _copy(device: Device, free: int | None) -> _Entry:
    here = torch.randn(_copied(free) // 4, device=device.at)
    there = torch.empty_like(here)
    entrant = Entrant(COPY, "", partial(there.copy_, here), 2 * here.nbytes)
    return _Entry(entrant, device.sample(entrant.step).step)


def _copied(free: int | None) -> int:
    """Return how many bytes the copy reads."""
    least = 1 << 22
    return least if free is None else max(least, min(_COPIED, free // 16))


def _entry(
    device: Device,
    name: str,
    form: str,
    optimizer: torch.optim.Optimizer,
    params: list[Parameter],
) -> _Entry:
    """Return an optimizer that has taken a step."""
    first = device.sample(optimizer.step).step
    entrant = Entrant(name, form, optimizer.step, moved(optimizer, params))
    if type(optimizer) is torch.optim.AdamW:
        return _Entry(entrant, first)
    choice = choose(optimizer.param_groups[0], params[0])
    refusal = choice.refusals.get("triton")
    return _Entry(entrant, first, choice.backend.name, refusal)
