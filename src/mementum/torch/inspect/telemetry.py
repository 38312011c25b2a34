"""What an optimizer's state says about the run, read when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from mementum.family import markup
from mementum.family.rule import Coefficients, Rule
from mementum.torch.state import State, formats, sharding
from mementum.torch.state.formats import MomentFormat


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers of some parameters that have taken a step.

    docs/training/telemetry.md shows them. `coordinates` are their elements, and `steps`
    is how many the oldest has taken.
    `memory_steps` is how many steps the second moment remembers in effect. `rms_update`
    is what the last step added, decoupled decay left out, at the present learning
    rate; `rms_weight` the parameters themselves, and `update_to_weight` their ratio.
    `unmoved` is the share of squares that the next step leaves as they are, unless its
    gradient is far from usual, and `noise_moved` the share of those that only the
    noise of rounding to their format moves.
    """

    coordinates: int
    steps: int
    memory_steps: float
    rms_update: float
    rms_weight: float
    update_to_weight: float
    unmoved: float
    noise_moved: float


@dataclass(frozen=True, slots=True)
class Telemetry:
    """A reading of each parameter group and of all together, and the counts of steps.

    `gradient_norm` is the last that `clip_norm` looked at, None without it.
    """

    overall: Reading
    groups: tuple[Reading, ...]
    skipped_steps: int
    clipped_steps: int
    gradient_norm: float | None

    def flat(self) -> dict[str, float]:
        """Return all numbers by names such as ``group0/rms_update``, for a logger."""
        readings = {"overall": self.overall}
        readings |= {f"group{i}": group for i, group in enumerate(self.groups)}
        found: dict[str, float] = {
            f"{where}/{each.name}": getattr(reading, each.name)
            for where, reading in readings.items()
            for each in fields(reading)
        }
        found |= {"skipped_steps": self.skipped_steps}
        found |= {"clipped_steps": self.clipped_steps}
        if self.gradient_norm is not None:
            found["gradient_norm"] = self.gradient_norm
        return found

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
        return "\n".join([*lines, self._counts()])

    def _repr_html_(self) -> str:
        """Return the same table for a notebook."""
        return markup.table(self._rows()) + markup.paragraph(self._counts())

    def _rows(self) -> list[list[str]]:
        """Return a row of names, and one for each number of a reading."""
        names = ["overall", *(f"group {i}" for i in range(len(self.groups)))]
        rows = [["", *names]]
        for each in fields(Reading):
            readings = (self.overall, *self.groups)
            values = [f"{getattr(reading, each.name):,.5g}" for reading in readings]
            rows.append([each.name, *values])
        return rows

    def _counts(self) -> str:
        """Return what is not of a group, in a line."""
        norm = self.gradient_norm
        counts = f"skipped steps: {self.skipped_steps:,}"
        counts += f", clipped steps: {self.clipped_steps:,}"
        return counts + ("" if norm is None else f", last gradient norm: {norm:.5g}")


@dataclass(slots=True)
class _Sums:
    """What is added up over coordinates."""

    coordinates: int = 0
    steps: int = 0
    memory: float = 0.0
    update: float = 0.0
    weight: float = 0.0
    unmoved: int = 0
    noise_moved: int = 0

    def add(self, other: _Sums) -> None:
        for each in fields(self):
            ours, theirs = getattr(self, each.name), getattr(other, each.name)
            chosen = max(ours, theirs) if each.name == "steps" else ours + theirs
            setattr(self, each.name, chosen)

    def reading(self) -> Reading:
        count = self.coordinates or 1
        update, weight = math.sqrt(self.update / count), math.sqrt(self.weight / count)
        return Reading(
            coordinates=self.coordinates,
            steps=self.steps,
            memory_steps=self.memory / count,
            rms_update=update,
            rms_weight=weight,
            update_to_weight=update / weight if weight else math.nan,
            unmoved=self.unmoved / count,
            noise_moved=self.noise_moved / count,
        )


def measure(
    groups: Sequence[Mapping[str, Any]],
    state: State,
    rules: Sequence[Rule],
    *,
    skipped_steps: int,
    clipped_steps: int,
    gradient_norm: float | None,
) -> Telemetry:
    """Return the telemetry of groups with their state and rules, and these counts.

    It reads what this process holds, and talks to no other.
    """
    overall, readings = _Sums(), []
    for group, rule in zip(groups, rules, strict=True):
        sums = _Sums()
        for param in group["params"]:
            kept = state.get(param)
            if kept and int(kept["step"]) and param.numel():
                sums.add(_read(param, kept, rule, float(group["lr"])))
        overall.add(sums)
        readings.append(sums.reading())
    return Telemetry(
        overall=overall.reading(),
        groups=tuple(readings),
        skipped_steps=skipped_steps,
        clipped_steps=clipped_steps,
        gradient_norm=gradient_norm,
    )


@torch.no_grad()
def _read(param: Tensor, kept: Mapping[str, Any], rule: Rule, lr: float) -> _Sums:
    step = int(kept["step"])
    here = {k: sharding.local(v) for k, v in kept.items() if isinstance(v, Tensor)}
    square = _real(formats.decode("square", here))
    count = square.numel()
    if not count:
        return _Sums()
    used = square
    if rule.peak and "peak" in here:
        used = _real(formats.decode("peak", here))
    momentum = _real(formats.decode("momentum", here))
    update = _update(momentum, used, rule.at(step, lr))
    weight = rule.at(step + 1, lr).take_v
    unmoved = _unmoved(square, weight)
    by_format = _unmoved_in_format(square, weight, formats.recognize(here["square"]))
    return _Sums(
        coordinates=count,
        steps=step,
        memory=rule.square.length(step) * count,
        update=_square_sum(update),
        weight=_square_sum(_real(param)),
        unmoved=int(unmoved.sum()),
        noise_moved=int((by_format & ~unmoved).sum()),
    )


def _update(momentum: Tensor, square: Tensor, c: Coefficients) -> Tensor:
    """Return what the step of these numbers moved the parameter by, but for decay."""
    root = (square.to(torch.float64) + c.eps_root).sqrt_().add_(c.eps_out)
    update: Tensor = momentum.to(torch.float64) * c.step_m / root
    return update


def _unmoved(square: Tensor, weight: float) -> Tensor:
    """Return which squares a sample of zero, or of twice their size, leaves alone."""
    change = square * weight
    alone = (square + change == square) & (square - change == square)
    # Any sample moves a square of zero, unless it has no weight at all.
    frozen = float(torch.tensor(weight, dtype=square.dtype, device="cpu")) == 0
    return alone if frozen else alone & (square != 0)


def _unmoved_in_format(square: Tensor, weight: float, form: MomentFormat) -> Tensor:
    """Return which squares the same samples would leave alone, rounded to nearest."""
    if not form.noisy:
        return _unmoved(square, weight)

    def nearest(number: Tensor) -> Tensor:
        # As a peak is stored.
        return form.decode("peak", form.encode("peak", number, None))

    change = square * weight
    alone = nearest(square + change) == square
    return alone & (nearest(square - change) == square) & (square != 0)


def _real(tensor: Tensor) -> Tensor:
    local = sharding.local(tensor).detach()
    if local.is_complex():
        return torch.view_as_real(local.resolve_conj().resolve_neg())
    return local


def _square_sum(tensor: Tensor) -> float:
    return float(tensor.to(torch.float64).square().sum())
