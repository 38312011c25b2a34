"""Parameters that one launch can update together."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any, Literal

import torch
from torch import Tensor

from mementum.noise import Key, key
from mementum.torch import formats, sharding
from mementum.torch.formats import Float8, Numbering
from mementum.torch.state import LOW, MOMENT_DTYPE, SCALE, counter, start

State = MutableMapping[Tensor, dict[str, Any]]
HALVES = torch.bfloat16, torch.float16


@dataclass(slots=True)
class Bucket:
    """Parameters of a group that share their device, dtypes and step.

    `owners` are the parameters and `states` what is kept for each; the other lists
    hold their tensors as they are in this step, complex ones as views of their real
    and imaginary parts. `peak` is empty where the rule keeps none. `step` is the
    number of the step being taken: an int, or, where steps are captured, a float64
    tensor with one element a parameter. Parameters without elements have nothing to
    update: their states only count, in `empty`.

    Moments in bfloat16 or float8 are `low`, and rounded with noise; so are the
    parameters where `rounds_params`. The noise is keyed by the `seed`, the step and the
    parameters' `places`: their names or, without, their places among all of them.

    Of `sharded` parameters the lists hold the elements that are in this process, whose
    places in the whole parameters `numberings` tell.
    """

    step: Any = None
    seed: int = 0
    rounds_params: bool = False
    sharded: bool = False
    numberings: list[Numbering] | None = None
    owners: list[Tensor] = field(default_factory=list)
    places: list[str | int] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    empty: list[dict[str, Any]] = field(default_factory=list)
    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor] = field(default_factory=list)
    momentum: list[Tensor] = field(default_factory=list)
    square: list[Tensor] = field(default_factory=list)
    peak: list[Tensor] = field(default_factory=list)

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype the step is computed in: the moments', float32 at least."""
        stored = self.momentum[0].dtype
        return torch.float32 if stored in LOW else stored

    @property
    def low(self) -> str | None:
        """Return the format of moments that are stored below float32, if they are."""
        return LOW.get(self.momentum[0].dtype)

    @property
    def noisy(self) -> bool:
        """Whether anything is rounded with noise."""
        return self.rounds_params or self.low is not None

    def key(self, i: int, purpose: Literal["state", "parameter"]) -> Key:
        """Return the key of the noise that rounds the i-th parameter, or its state."""
        return key(self.seed, self.places[i], self.step, purpose)

    def words(self, i: int, purpose: Literal["state", "parameter"]) -> Tensor:
        """Return the noise of the i-th parameter's elements, in int64."""
        param = self.params[i]
        numbering = self.numberings[i] if self.numberings else None
        return formats.words(self.key(i, purpose), param.shape, param.device, numbering)

    def float8(self, i: int, moment: str) -> Float8:
        """Return a float8 moment of the i-th parameter."""
        state = self.states[i]
        codes, scale = state[moment], state[moment + SCALE]
        return Float8(sharding.local(codes), sharding.local(scale))

    def rows(self, *, peak: bool | None = None) -> tuple[list[Tensor], ...]:
        """Return the lists that run in parallel, with the peak's where there is one."""
        rows = (self.params, self.grads, self.momentum, self.square)
        return (*rows, self.peak) if (self.peak if peak is None else peak) else rows

    def gather(self, *, peak: bool) -> None:
        """Fetch the tensors of this step: gradients, state and data may be new."""
        states = self.states
        self.params = self.owners
        self.grads = [_grad(owner) for owner in self.owners]
        if any(grad.is_neg() for grad in self.grads):
            self.grads = [grad.resolve_neg() for grad in self.grads]
        self.momentum = [state["momentum"] for state in states]
        self.square = [state["square"] for state in states]
        self.peak = [state["peak"] for state in states] if peak else []
        if self.sharded:
            self.grads = list(map(sharding.local_grad, self.owners))
            for row in ("params", "momentum", "square", "peak"):
                setattr(self, row, list(map(sharding.local, getattr(self, row))))
        if self.owners and self.owners[0].is_complex():
            for row in ("params", "grads", "momentum", "square", "peak"):
                setattr(self, row, [_real(tensor) for tensor in getattr(self, row)])

    def release(self) -> None:
        """Let go of the gradients, whose memory their owner may want back."""
        self.grads = []

    def agrees(self, *, capturable: bool) -> bool:
        """Whether the tensors still belong together, and have taken as many steps."""
        rows = self.rows()
        if len({tensor.device for row in rows for tensor in row}) > 1:
            return False
        if any(len({tensor.dtype for tensor in row}) > 1 for row in rows):
            return False
        if len({row[0].dtype for row in rows[2:] if row}) > 1:
            return False
        shapes = [[tensor.shape for tensor in row] for row in rows]
        if shapes.count(shapes[0]) < len(shapes):
            return False
        if capturable:
            return True
        steps = [state["step"] for state in (*self.states, *self.empty)]
        return steps.count(steps[0]) == len(steps)

    def advance(self, *, capturable: bool, left_out: bool | Tensor = False) -> None:
        """Count the step, and bring its number to where the twelve are computed.

        Where only the device knows whether it is `left_out`, that is asked there.
        """
        if capturable:
            steps = [state["step"] for state in (*self.states, *self.empty)]
            if isinstance(left_out, Tensor):
                taken = (~left_out).to(device=steps[0].device, dtype=steps[0].dtype)
                torch._foreach_add_(steps, [taken] * len(steps))
            else:
                torch._foreach_add_(steps, 1)
            if self.owners:
                live = torch.stack(steps[: len(self.owners)])
                self.step = live.to(torch.float64)
            return
        self.step = 1 + (self.states or self.empty)[0]["step"]
        for state in (*self.states, *self.empty):
            state["step"] = self.step


@dataclass(slots=True)
class Roster:
    """The buckets of a group, divided anew only when they no longer describe it.

    The moments in them were begun with `state_dtype`. `names` are those of parameters
    whose group has none.
    """

    state_dtype: str | None = None
    params: list[Tensor] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)
    names: Mapping[Tensor, str] = field(default_factory=dict)

    def call(
        self, group: dict[str, Any], state: State, *, peak: bool, first: int = 0
    ) -> list[Bucket]:
        """Return the parameters that have a gradient, by what one launch can update.

        Moments that are missing start at zero. The group's first parameter is the
        optimizer's number `first`.
        """
        params = [param for param in group["params"] if param.grad is not None]
        capturable = group["capturable"]
        if not self._knows(params, state) or not self._gathers(peak, capturable):
            self.state_dtype = group["state_dtype"]
            places = _places(group, first) | dict(self.names)
            self._divide(params, places, state, peak=peak, capturable=capturable)
        for bucket in self.buckets:
            halves = bool(bucket.params) and bucket.params[0].dtype in HALVES
            bucket.rounds_params = group["stochastic_rounding"] and halves
            bucket.seed = group["seed"]
            if bucket.sharded and bucket.noisy and bucket.numberings is None:
                bucket.numberings = list(map(sharding.numbering, bucket.owners))
        return self.buckets

    def _knows(self, params: list[Tensor], state: State) -> bool:
        return (
            len(params) == len(self.params)
            and all(map(is_, params, self.params))
            and all(map(is_, map(state.get, params), self.states))
        )

    def _gathers(self, peak: bool, capturable: bool) -> bool:
        """Fetch every bucket's tensors, and say whether the division still holds."""
        for kept in self.states:
            if isinstance(kept["step"], Tensor) != capturable:
                return False
            if peak and "peak" not in kept:
                return False
        for bucket in self.buckets:
            bucket.gather(peak=peak)
            if not bucket.agrees(capturable=capturable):
                return False
        return True

    def _divide(
        self,
        params: list[Tensor],
        places: dict[Tensor, str | int],
        state: State,
        *,
        peak: bool,
        capturable: bool,
    ) -> None:
        for param in params:
            sharding.refuse_gradient(param)
        divided: dict[tuple[Any, ...], Bucket] = {}
        for param in params:
            kept = state[param]
            if not kept:
                kept |= start(
                    param,
                    peak=peak,
                    capturable=capturable,
                    state_dtype=self.state_dtype,
                )
            elif peak and "peak" not in kept:
                kept["peak"] = kept["square"].clone()
                if "square" + SCALE in kept:
                    kept["peak" + SCALE] = kept["square" + SCALE].clone()
            _settle(param, kept)
            step = kept["step"]
            if isinstance(step, Tensor) != capturable:
                step = kept["step"] = counter(step, param, capturable=capturable)
            dtypes = (param.dtype, _grad(param).dtype, kept["momentum"].dtype)
            sharded = sharding.is_sharded(param)
            key = (param.device, dtypes, sharded, None if capturable else step)
            bucket = divided.setdefault(key, Bucket(sharded=sharded))
            if sharding.local(param).numel():
                bucket.owners.append(param)
                bucket.places.append(places[param])
                bucket.states.append(kept)
            else:
                bucket.empty.append(kept)
        self.params, self.states = params, [state[param] for param in params]
        self.buckets = list(divided.values())
        for bucket in self.buckets:
            bucket.gather(peak=peak)


def _places(group: dict[str, Any], first: int) -> dict[Tensor, str | int]:
    """Return the parameters' names or, without, their places among all of them."""
    params = group["params"]
    names = group.get("param_names") or range(first, first + len(params))
    return dict(zip(params, names, strict=True))


def _settle(param: Tensor, kept: dict[str, Any]) -> None:
    """Bring moments that were replaced to one dtype, or refuse what does not fit.

    Errors: `ValueError` for a moment of another shape or on another device.
    """
    moments = [name for name in ("momentum", "square", "peak") if name in kept]
    dtype = MOMENT_DTYPE[param.dtype]
    for name in moments:
        moment = kept[name]
        if not sharding.alike(param, moment):
            raise ValueError(
                f"the {name} kept for a parameter of shape {tuple(param.shape)} is "
                "spread over processes in another way than the parameter; load the "
                "state with torch.distributed.checkpoint, or begin it anew."
            )
        if moment.shape != param.shape or moment.device != param.device:
            raise ValueError(
                f"the {name} kept for a parameter of shape {tuple(param.shape)} on "
                f"{param.device} has shape {tuple(moment.shape)} on {moment.device}; "
                "move the optimizer's state with its parameters, or begin it anew."
            )
        dtype = torch.promote_types(dtype, moment.dtype)
    low = {kept[name].dtype for name in moments} & set(LOW)
    for name in moments:
        if not low:
            kept[name] = kept[name].to(dtype)
        elif kept[name].dtype not in low or len(low) > 1:
            kinds = sorted({str(kept[each].dtype) for each in moments})
            raise ValueError(
                f"the moments kept for a parameter of shape {tuple(param.shape)} are "
                f"{' and '.join(kinds)}; begin its state anew."
            )


def _grad(param: Tensor) -> Tensor:
    grad = param.grad
    assert grad is not None
    return grad


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj().resolve_neg())
