"""Parameters that one launch can update together."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import is_, itemgetter
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mementum.family import noise
from mementum.torch.backends.capture import capturing, keep_for_graphs
from mementum.torch.backends.guard import Guard, Rows
from mementum.torch.state import ParamState, formats, rounding, sharding
from mementum.torch.state.formats import SCALE, Moment, MomentFormat, Stored
from mementum.torch.state.moments import MOMENTS
from mementum.torch.state.rounding import Numbering

_T = TypeVar("_T")
_Purpose = Literal["state", "parameter"]


@dataclass(slots=True)
class Bucket:
    """Parameters of a group that share their device, dtypes and step.

    `indices` are the places of the parameters among those of the group that have a
    gradient, and `slots` those of their entries in the state; parameters without
    elements have nothing to update, and their entries, at `empty_slots`, only count.

    All tensors are fetched for a step and let go at its end. `owners` are the
    parameters, `states` what is kept for each and, in `empty`, for those without
    elements; the other lists hold their tensors as they are in this step, complex ones
    as views of their real and imaginary parts. `peak` is empty where the rule keeps
    none. `step` is the number of the step being taken: an int, or, where steps are
    captured, a float64 tensor with one element a parameter. Where the device alone
    knows whether to `skip` the step, it says so there.

    Moments in a `format` that is noisy are rounded with noise; so are the parameters
    where `rounds_params`. The noise is keyed by the `seed`, the step and the
    parameters' `places`: their names or, without, their places among all of them.
    `scales` are the second tensors of moments, where their format has two.

    Of `sharded` parameters the lists hold the elements that are in this process, whose
    places in the whole parameters `numberings` tell.

    `plan` is a backend's: what it has found out from shapes, strides and dtypes, which
    hold as long as the bucket does. `addresses` are those of the tensors, row after
    row, where they are known.
    """

    step: Any = None
    skip: Tensor | None = None
    seed: int = 0
    rounds_params: bool = False
    sharded: bool = False
    numberings: list[Numbering] | None = None
    indices: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    empty_slots: list[int] = field(default_factory=list)
    owners: list[Tensor] = field(default_factory=list)
    places: list[str | int] = field(default_factory=list)
    states: list[ParamState] = field(default_factory=list)
    empty: list[ParamState] = field(default_factory=list)
    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor] = field(default_factory=list)
    momentum: list[Tensor] = field(default_factory=list)
    square: list[Tensor] = field(default_factory=list)
    peak: list[Tensor] = field(default_factory=list)
    scales: dict[str, list[Tensor]] = field(default_factory=dict)
    plan: Any = None
    addresses: array[int] | None = None
    _format: MomentFormat | None = None
    _guard: Guard | None = None
    _spreads: list[Any] = field(default_factory=list)
    _identities: dict[tuple[int, str], NDArray[np.uint64]] = field(default_factory=dict)
    _uploaded: dict[tuple[int, str, torch.device], Tensor] = field(default_factory=dict)
    _device_keys: dict[str, Tensor] = field(default_factory=dict)

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype the step is computed in: the moments', float32 at least."""
        return self.format.computed

    @property
    def format(self) -> MomentFormat:
        """Return the format of the moments."""
        if self._format is None:
            self._format = formats.recognize(self.momentum[0])
        return self._format

    @property
    def noisy(self) -> bool:
        """Whether anything is rounded with noise."""
        moments = bool(self.momentum) and self.format.noisy
        return self.rounds_params or moments

    def keys(self, purpose: _Purpose) -> NDArray[np.uint64]:
        """Return the keys of the noise that rounds the parameters, or their states.

        The step is counted on the host.
        """
        return noise.keys(self._identified(purpose), self.step)

    def keys_on_device(self, purpose: _Purpose) -> Tensor:
        """Return `keys` of a step that is counted on the device, there and in int64."""
        known = self._device_keys.get(purpose)
        if known is None:
            known = rounding.keys(self._identified_on_device(purpose), self.step)
            self._device_keys[purpose] = known
        return known

    def _identified(self, purpose: _Purpose) -> NDArray[np.uint64]:
        known = self._identities.get((self.seed, purpose))
        if known is None:
            known = np.array(
                [noise.identity(self.seed, place, purpose) for place in self.places],
                dtype=np.uint64,
            )
            self._identities[self.seed, purpose] = known
        return known

    def _identified_on_device(self, purpose: _Purpose) -> Tensor:
        device: torch.device = self.step.device
        at, captured = (self.seed, purpose, device), capturing()
        known = self._uploaded.get(at)
        if known is None:
            # Fills, as a capture allows no copy from the host.
            signed = self._identified(purpose).view(np.int64).tolist()
            full = [torch.full((), n, dtype=torch.int64, device=device) for n in signed]
            known = torch.stack(full)
            # What a capture fills has its value in a replay, and not before.
            if not captured:
                self._uploaded[at] = known
        elif captured:
            keep_for_graphs(known)
        return known

    def words(self, i: int, purpose: _Purpose) -> Tensor:
        """Return the noise of the i-th parameter's elements, in int32."""
        param = self.params[i]
        numbering = self.numberings[i] if self.numberings else None
        key: noise.Key | Tensor
        if isinstance(self.step, Tensor):
            key = self.keys_on_device(purpose)[i]
        else:
            key = noise.key(self.seed, self.places[i], self.step, purpose)
        return rounding.words(key, param.shape, param.device, numbering)

    def stored(self, i: int, moment: Moment) -> Stored:
        """Return the tensors of a moment of the i-th parameter."""
        first: Tensor = getattr(self, moment)[i]
        return (first, self.scales[moment][i]) if self.scales else (first,)

    def rows(self, *, peak: bool | None = None) -> tuple[list[Tensor], ...]:
        """Return the lists that run in parallel, with the peak's where there is one."""
        rows = (self.params, self.grads, self.momentum, self.square)
        return (*rows, self.peak) if (self.peak if peak is None else peak) else rows

    def fetch(
        self,
        live: list[Tensor],
        grads: list[Tensor],
        entries: list[ParamState],
        *,
        peak: bool,
    ) -> None:
        """Look up the tensors of a step, as users may have replaced them.

        `live` are all the group's parameters that have a gradient, `grads` their
        gradients, and `entries` the whole of the state. Errors: `KeyError` if a moment
        is missing.
        """
        self.owners = self.params = _picked(live, self.indices)
        self.grads = _picked(grads, self.indices)
        self.states = _picked(entries, self.slots)
        self.empty = [entries[i] for i in self.empty_slots]
        names = MOMENTS if peak else MOMENTS[:2]
        for name in names:
            setattr(self, name, list(map(itemgetter(name), self.states)))
        self.scales = {}
        if self.momentum and SCALE in self.format.suffixes:
            for name in names:
                self.scales[name] = list(map(itemgetter(name + SCALE), self.states))
        if self.sharded:
            self._localize()

    def release(self) -> None:
        """Let go of all tensors, which are their owner's to free."""
        self.step = self.skip = self.addresses = None
        self._device_keys = {}
        self.owners = self.params = self.grads = []
        self.momentum = self.square = self.peak = []
        self.states = self.empty = []
        self.scales = {}

    def _localize(self) -> None:
        """Replace tensors that are spread over processes by what is in this one."""
        self.grads = list(map(sharding.local_grad, self.owners))
        for row in ("params", *MOMENTS):
            setattr(self, row, list(map(sharding.local, getattr(self, row))))
        for name, scales in self.scales.items():
            self.scales[name] = list(map(sharding.local, scales))

    def is_as_remembered(self, *, capturable: bool) -> bool:
        """Whether what was fetched is as it was, but for values and addresses."""
        steps = [state["step"] for state in (*self.states, *self.empty)]
        if set(map(type, steps)) != {Tensor if capturable else int}:
            return False
        if not capturable and steps.count(steps[0]) < len(steps):
            return False
        if not self.owners:
            return True
        if self._guard is None or not self._guard.holds(self.all_rows()):
            return False
        if not all(map(is_, self._spreads, self._spread())):
            return False
        self.addresses = self._guard.addresses
        return True

    def remember(self, guard: Callable[[Rows], Guard]) -> None:
        """Remember what was fetched, for `is_as_remembered`.

        Of tensors that are spread over processes a guard sees what is here; how they
        are spread is looked at as well. A gradient's spread is its parameter's.
        """
        self._guard, self._spreads = guard(self.all_rows()), self._spread()

    def _spread(self) -> list[Any]:
        """Return what says how parameters and moments are spread over processes."""
        if not self.sharded:
            return []
        names = MOMENTS if self.peak else MOMENTS[:2]
        stored = [*names, *(name + SCALE for name in self.scales)]
        kept = (state[name] for state in self.states for name in stored)
        return list(map(sharding.spread, [*self.owners, *kept]))

    def all_rows(self) -> Rows:
        """Return the rows, and the scales of the moments that have some."""
        return [*self.rows(), *self.scales.values()]

    def resolve(self) -> None:
        """Undo what torch does lazily, and take complex numbers apart."""
        if any(map(Tensor.is_neg, self.grads)):
            self.grads = [grad.resolve_neg() for grad in self.grads]
            self.addresses = None
        if self.owners and self.owners[0].is_complex():
            for row in ("params", "grads", "momentum", "square", "peak"):
                setattr(self, row, [_real(tensor) for tensor in getattr(self, row)])
            self._format = formats.recognize(self.momentum[0])
            self.addresses = None

    def advance(self) -> None:
        """Count the step on the host."""
        states = (*self.states, *self.empty)
        self.step = 1 + int(states[0]["step"])
        for state in states:
            if isinstance(state["step"], Tensor):
                state["step"].fill_(self.step)
            else:
                state["step"] = self.step

    def advance_on_device(self, skip: Tensor | None) -> None:
        """Count the step where it is captured, unless the device says to skip it."""
        self._device_keys = {}
        steps = [state["step"] for state in (*self.states, *self.empty)]
        if skip is None:
            torch._foreach_add_(steps, 1)
        else:
            taken = (~skip).to(device=steps[0].device, dtype=steps[0].dtype)
            torch._foreach_add_(steps, [taken] * len(steps))
        if self.owners:
            live = torch.stack(steps[: len(self.owners)]).reshape(-1)
            self.step = live.to(torch.float64)


def _picked(values: list[_T], places: list[int]) -> list[_T]:
    if len(places) > 1:
        return list(itemgetter(*places)(values))
    return [values[i] for i in places]


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj().resolve_neg())
