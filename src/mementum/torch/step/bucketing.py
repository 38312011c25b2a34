"""Which parameters are stepped together, remembered from step to step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from operator import is_
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mementum.torch.backends.bucket import Bucket
from mementum.torch.groups.errors import named_after
from mementum.torch.state import sharding
from mementum.torch.state.moments import prepare

State = MutableMapping[Tensor, dict[str, Any]]
Names = Mapping[Tensor, str]
HALVES = torch.bfloat16, torch.float16


class Call(NamedTuple):
    """A group in one step: its parameters that have a gradient, and the gradients.

    `peak` is whether the rule keeps one. The group's first parameter is the
    optimizer's number `first`.
    """

    group: dict[str, Any]
    live: list[Tensor]
    grads: list[Tensor]
    peak: bool
    first: int


def called(group: dict[str, Any], *, peak: bool, first: int) -> Call:
    """Return what a group asks of a step."""
    live: list[Tensor] = group["params"]
    grads = [param.grad for param in live]
    present = [grad for grad in grads if grad is not None]
    if len(present) < len(grads):
        live = [param for param in live if param.grad is not None]
    return Call(group, live, present, peak, first)


@dataclass(slots=True)
class Roster:
    """The buckets of a group, divided anew only when they no longer describe it.

    The moments in them were begun with `state_dtype`.
    """

    state_dtype: str | None = None
    params: list[Tensor] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)
    _called: tuple[list[str] | None, int] = (None, 0)

    def stands(self, call: Call) -> bool:
        """Gather the tensors of a step, and say whether the division describes them."""
        group, live, grads, peak, first = call
        if not _identical(live, self.params):
            return False
        if self._called != (group.get("param_names"), first):
            return False
        try:
            for bucket in self.buckets:
                bucket.gather(grads, peak=peak)
        except KeyError:
            return False
        capturable = group["capturable"]
        return all(bucket.stands(capturable=capturable) for bucket in self.buckets)

    def knows(self, state: State) -> bool:
        """Whether the state's entries are those of the division."""
        return all(
            state.get(owner) is kept
            for bucket in self.buckets
            for owner, kept in zip(bucket.owners, bucket.states, strict=True)
        )

    def divide(self, call: Call, state: State, names: Names) -> None:
        """Divide parameters that have a gradient by what one launch can update.

        Moments that are missing start at zero. `names` are those of parameters whose
        group has none. Errors: `ValueError` for moments that do not fit.
        """
        group, live, grads, peak, first = call
        self.state_dtype = group["state_dtype"]
        for param in live:
            sharding.refuse_gradient(param)
            prepare(
                param,
                state[param],
                peak=peak,
                capturable=group["capturable"],
                state_dtype=self.state_dtype,
            )
        # A set of parameters that changes at every step is not worth remembering.
        again = _identical(live, self.params)
        self.params = list(live)
        self.buckets = _divided(call, state, _places(group, first) | dict(names))
        called_by = group.get("param_names")
        self._called = called_by and list(called_by), first
        for bucket in self.buckets:
            bucket.gather(grads, peak=peak)
            if again:
                bucket.learn()

    def refuse_other_storage(self, group: dict[str, Any]) -> None:
        """Refuse a storage that is not the one in which the moments are."""
        if self.state_dtype != group["state_dtype"]:
            raise ValueError(
                f"state_dtype has become {group['state_dtype']!r}, and the moments are "
                f"stored in {self.state_dtype!r}; set it back."
            )

    def ready(self, group: dict[str, Any]) -> list[Bucket]:
        """Return the buckets, ready for the step that was gathered."""
        for bucket in self.buckets:
            bucket.resolve()
            halves = bool(bucket.params) and bucket.params[0].dtype in HALVES
            bucket.rounds_params = group["stochastic_rounding"] and halves
            bucket.seed = group["seed"]
            if bucket.sharded and bucket.noisy and bucket.numberings is None:
                bucket.numberings = list(map(sharding.numbering, bucket.owners))
        return self.buckets

    def release(self) -> None:
        """Let go of the gradients."""
        for bucket in self.buckets:
            bucket.release()


class Rosters:
    """The rosters of an optimizer, one a group, and the entries its state had."""

    def __init__(self) -> None:
        self._by_group: dict[int, Roster] = {}
        self._params: list[Tensor] = []
        self._states: list[dict[str, Any]] = []

    def __getitem__(self, index: int) -> Roster:
        """Return the roster of a group whose tensors have been gathered."""
        return self._by_group[index]

    def refuse_other_storage(
        self, groups: Sequence[dict[str, Any]], optimizer: str
    ) -> None:
        """Refuse a storage that is not the one in which a group's moments are."""
        for index, group in enumerate(groups):
            roster = self._by_group.get(index)
            if roster is not None and roster.state_dtype != group["state_dtype"]:
                where = f"parameter group {index}: " if len(groups) > 1 else ""
                with named_after(optimizer, where):
                    roster.refuse_other_storage(group)

    def gather(self, calls: Sequence[Call], state: State) -> list[int]:
        """Gather the tensors of a step; return which groups are not as they were."""
        same = _identical(state, self._params)
        same = same and _identical(state.values(), self._states)
        return [
            index
            for index, call in enumerate(calls)
            if not (same and index in self._by_group)
            or not self._by_group[index].stands(call)
        ]

    def divide(
        self, calls: Sequence[Call], indices: list[int], state: State, names: Names
    ) -> None:
        """Divide groups anew, and remember the entries that the state has then."""
        for index in indices:
            roster = self._by_group.setdefault(index, Roster())
            roster.divide(calls[index], state, names)
        if indices:
            self._params, self._states = list(state), list(state.values())

    def release(self) -> None:
        """Let go of the gradients."""
        for roster in self._by_group.values():
            roster.release()


def _identical(these: Collection[Any], those: Collection[Any]) -> bool:
    """Whether two collections hold the same objects in the same order."""
    return len(these) == len(those) and all(map(is_, these, those))


def _divided(
    call: Call, state: State, places: Mapping[Tensor, str | int]
) -> list[Bucket]:
    capturable = call.group["capturable"]
    divided: dict[tuple[Any, ...], Bucket] = {}
    for index, (param, grad) in enumerate(zip(call.live, call.grads, strict=True)):
        kept = state[param]
        dtypes = (param.dtype, grad.dtype, kept["momentum"].dtype)
        sharded = sharding.is_sharded(param)
        step = None if capturable else kept["step"]
        key = (param.device, dtypes, sharded, step)
        bucket = divided.setdefault(key, Bucket(sharded=sharded))
        if sharding.local(param).numel():
            bucket.owners.append(param)
            bucket.indices.append(index)
            bucket.places.append(places[param])
            bucket.states.append(kept)
        else:
            bucket.empty.append(kept)
    return list(divided.values())


def _places(group: dict[str, Any], first: int) -> dict[Tensor, str | int]:
    """Return the parameters' names or, without, their places among all of them."""
    params = group["params"]
    names = group.get("param_names") or range(first, first + len(params))
    return dict(zip(params, names, strict=True))
