"""Which parameters are stepped together, remembered from step to step."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mementum.family.rule import Rule
from mementum.torch.backends import FLAGS, Backend, choose
from mementum.torch.backends.bucket import Bucket
from mementum.torch.backends.layout import is_dense
from mementum.torch.groups.options import Group
from mementum.torch.state import ParamState, State, sharding
from mementum.torch.state.moments import prepare

Names = Mapping[Tensor, str]
_flags = itemgetter(*FLAGS)
_HALVES = torch.bfloat16, torch.float16


class GroupStep(NamedTuple):
    """A group in one step: its parameters that have a gradient, and the gradients.

    The group's first parameter is the optimizer's number `first`.
    """

    group: Group
    rule: Rule
    first: int
    live: list[Tensor]
    grads: list[Tensor]

    @classmethod
    def build(cls, group: Group, rule: Rule, first: int) -> GroupStep:
        """Return what a group asks of a step."""
        live: list[Tensor] = group["params"]
        grads = [param.grad for param in live]
        present = [grad for grad in grads if grad is not None]
        if len(present) < len(grads):
            live = [param for param in live if param.grad is not None]
        return cls(group, rule, first, live, present)


@dataclass(slots=True)
class _GroupBuckets:
    """The buckets of a group, built anew only when they no longer describe it.

    The moments in them were begun with `state_dtype`. Parameters are known by `ids`,
    so that none is kept alive; shapes and dtypes are compared at every step.
    """

    state_dtype: str | None = None
    ids: list[int] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)
    backends: list[Backend | None] = field(default_factory=list)
    _flags: tuple[bool | None, ...] = ()
    _places: tuple[list[str] | None, int] = (None, 0)

    def still_fit(self, step: GroupStep, entries: list[ParamState]) -> bool:
        """Fetch the tensors of a step, and say whether the buckets describe them."""
        group, rule, first, live, grads = step
        if list(map(id, live)) != self.ids:
            return False
        if self._places != (group.get("param_names"), first):
            return False
        if self._flags != _flags(group):
            return False
        capturable = group["capturable"]
        try:
            for bucket in self.buckets:
                bucket.fetch(live, grads, entries, peak=rule.peak)
            return all(b.is_as_remembered(capturable=capturable) for b in self.buckets)
        except KeyError:
            return False

    def build(
        self, step: GroupStep, state: State, names: Names, slots: Mapping[Tensor, int]
    ) -> None:
        """Put parameters that one launch can update into one bucket.

        `names` are those of parameters whose group has none, `slots` the places of all
        entries in the state, in order.
        """
        group, rule, first, live, grads = step
        # A set of parameters that changes at every step is not worth remembering.
        ids = list(map(id, live))
        again, self.ids = ids == self.ids, ids
        divided = _divided(step, state, _places(group, first) | dict(names), slots)
        self.buckets = [bucket for bucket, _ in divided]
        self.backends = [backend for _, backend in divided]
        own_names = group.get("param_names")
        self._places = own_names and list(own_names), first
        entries = list(state.values())
        for bucket, backend in divided:
            bucket.fetch(live, grads, entries, peak=rule.peak)
            if again and backend is not None:
                bucket.remember(backend.guard)
        self._flags = _flags(group)


class BucketCache:
    """The buckets of groups, and which entries their state had.

    What the moments of a group are stored in is known once it was stepped, or before
    from `state_dtypes`, one a group.
    """

    def __init__(self, state_dtypes: Iterable[str | None] = ()) -> None:
        self._by_group = {
            i: _GroupBuckets(dtype) for i, dtype in enumerate(state_dtypes)
        }
        self._ids: list[int] = []

    def refuse_other_storage(self, groups: Sequence[Group], optimizer: str) -> None:
        """Refuse a storage that is not the one in which a group's moments are.

        Errors: `ValueError`, beginning with the name of the optimizer.
        """
        for index, group in enumerate(groups):
            kept = self._by_group.get(index)
            if kept is not None and kept.state_dtype != group["state_dtype"]:
                where = f"parameter group {index}: " if len(groups) > 1 else ""
                raise ValueError(
                    f"{optimizer}: {where}state_dtype has become "
                    f"{group['state_dtype']!r}, and the moments are stored in "
                    f"{kept.state_dtype!r}; set it back."
                )

    def outdated(self, steps: Sequence[GroupStep], state: State) -> list[int]:
        """Fetch the tensors of a step; return the groups whose buckets do not fit."""
        same = list(map(id, state)) == self._ids
        entries = list(state.values())
        return [
            index
            for index, step in enumerate(steps)
            if not (same and index in self._by_group)
            or not self._by_group[index].still_fit(step, entries)
        ]

    def rebuild(
        self, steps: Sequence[GroupStep], indices: list[int], state: State, names: Names
    ) -> None:
        """Build the buckets of groups, and begin the moments that they lack.

        Errors: `ValueError` for moments that do not fit.
        """
        for index in indices:
            _begin_moments(steps[index], state)
            kept = self._by_group.setdefault(index, _GroupBuckets())
            kept.state_dtype = steps[index].group["state_dtype"]
        if indices:
            slots = dict(zip(state, itertools.count()))
            for index in indices:
                self._by_group[index].build(steps[index], state, names, slots)
            self._ids = list(map(id, state))

    def prepare(
        self, steps: Sequence[GroupStep]
    ) -> list[tuple[GroupStep, Bucket, Backend | None]]:
        """Return all buckets, ready for the step that was fetched.

        With each goes the backend that runs it, None where it has no elements. Errors:
        `RuntimeError` or `ValueError` for what the backend cannot step.
        """
        ready = []
        for index, step in enumerate(steps):
            known = self._by_group[index]
            for bucket, backend in zip(known.buckets, known.backends, strict=True):
                bucket.resolve()
                _set_rounding(bucket, step.group)
                if backend is not None:
                    backend.ready(bucket)
                ready.append((step, bucket, backend))
        return ready

    def release(self) -> None:
        """Let go of all tensors, which are their owner's to free."""
        for kept in self._by_group.values():
            for bucket in kept.buckets:
                bucket.release()


def _set_rounding(bucket: Bucket, group: Group) -> None:
    """Tell a bucket what its group rounds, and by which noise."""
    halves = bool(bucket.params) and bucket.params[0].dtype in _HALVES
    bucket.rounds_params = group["stochastic_rounding"] and halves
    bucket.seed = group["seed"]
    if bucket.sharded and bucket.noisy and bucket.numberings is None:
        bucket.numberings = list(map(sharding.numbering, bucket.owners))


def _begin_moments(step: GroupStep, state: State) -> None:
    """Bring the state of a group's parameters into the form of a step, or begin it.

    Errors: `ValueError` for moments that do not fit.
    """
    for param in step.live:
        sharding.refuse_gradient(param)
        prepare(
            param,
            state[param],
            peak=step.rule.peak,
            capturable=step.group["capturable"],
            state_dtype=step.group["state_dtype"],
        )


def _divided(
    step: GroupStep,
    state: State,
    places: Mapping[Tensor, str | int],
    slots: Mapping[Tensor, int],
) -> list[tuple[Bucket, Backend | None]]:
    """Return buckets, with the backend that runs each, None where none has elements."""
    capturable = step.group["capturable"]
    divided: dict[tuple[Any, ...], tuple[Bucket, Backend | None]] = {}
    chosen: dict[tuple[Any, ...], Backend] = {}
    for index, (param, grad) in enumerate(zip(step.live, step.grads, strict=True)):
        kept, local = state[param], sharding.local(param)
        backend = None
        if local.numel():
            kind = type(local), local.device, is_dense(local)
            if kind not in chosen:
                chosen[kind] = choose(step.group, local).backend
            backend = chosen[kind]
        dtypes = (param.dtype, grad.dtype, kept["momentum"].dtype)
        sharded = sharding.is_sharded(param)
        count = None if capturable else int(kept["step"])
        key = (param.device, dtypes, sharded, count, backend and backend.name)
        bucket, _ = divided.setdefault(key, (Bucket(sharded=sharded), backend))
        if backend is not None:
            bucket.indices.append(index)
            bucket.slots.append(slots[param])
            bucket.places.append(places[param])
        else:
            bucket.empty_slots.append(slots[param])
    return list(divided.values())


def _places(group: Group, first: int) -> dict[Tensor, str | int]:
    """Return the parameters' names or, without, their places among all of them."""
    params = group["params"]
    names = group.get("param_names") or range(first, first + len(params))
    return dict(zip(params, names, strict=True))
