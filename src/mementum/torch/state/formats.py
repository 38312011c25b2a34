"""How moments are stored: each format begins, decodes, encodes and checks a moment.

A moment is one tensor in a parameter's state, or more, whose names begin with its own.
Nothing else asks a moment for its dtype to learn how it is stored.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from mementum.torch.state import rounding, sharding

Moment: TypeAlias = Literal["momentum", "square", "peak"]
# The tensors of a moment; a format's `suffixes` name them.
Stored: TypeAlias = tuple[Tensor, ...]
_State: TypeAlias = Mapping[str, Any]

# What a parameter's moments are computed in, and stored in unless a group's
# `state_dtype` says otherwise: float32 at least.
MOMENT_DTYPE = {
    torch.float64: torch.float64,
    torch.float32: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
    torch.complex128: torch.complex128,
    torch.complex64: torch.complex64,
    torch.complex32: torch.complex64,
}
SCALE = "_scale"

# Where fewer elements, or no rows to part into blocks, would save next to nothing,
# float8 leaves the moments as they are computed.
_FEWEST = 4096
_WIDE = (torch.float32, torch.float64, torch.complex64, torch.complex128)


class MomentFormat(Protocol):
    """How a moment is stored between steps."""

    @property
    def name(self) -> str:
        """Its word for people."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the tensor under the moment's own name."""

    @property
    def computed(self) -> torch.dtype:
        """The dtype of the numbers that are decoded."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What follows the moment's name in those of its tensors."""

    @property
    def noisy(self) -> bool:
        """Whether momentum and square are rounded with words of noise."""

    def refuses(self, param: Tensor) -> str | None:
        """Return why a parameter cannot have such moments, or None if it can."""

    def nbytes(self, shape: torch.Size) -> int:
        """Return how many bytes a moment of this shape takes."""

    def zeros(self, param: Tensor) -> Stored:
        """Return the moment before the first step: placed as the parameter is."""

    def decode(self, moment: Moment, stored: Stored) -> Tensor:
        """Return the numbers that are stored, not to be written to."""

    def encode(self, moment: Moment, number: Tensor, words: Tensor | None) -> Stored:
        """Return numbers stored: a peak rounded to the nearest, others with words."""

    def copy(self, param: Tensor, tensor: Tensor) -> Tensor:
        """Return a copy of one of a moment's tensors, placed as the parameter is."""

    def check(
        self, what: str, moment: Moment, state: _State, state_dtype: str | None
    ) -> None:
        """Refuse a moment of the parameter's shape that no step leaves behind.

        `state` has the moment's tensors. Errors: `ValueError`, beginning with `what`.
        """


@dataclass(frozen=True, slots=True)
class AsComputed:
    """Moments stored as they are computed: in float32, float64 or their complex twins.

    Moments that another program has put there in short numbers are decoded in float32.
    """

    dtype: torch.dtype
    suffixes: tuple[str, ...] = ("",)
    noisy: bool = False

    @property
    def name(self) -> str:
        """Return the dtype's name."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def computed(self) -> torch.dtype:
        """Return the dtype itself, float32 at least."""
        least = torch.complex64 if self.dtype.is_complex else torch.float32
        return torch.promote_types(self.dtype, least)

    def refuses(self, param: Tensor) -> str | None:
        """Return None: every parameter can have them."""
        return None

    def nbytes(self, shape: torch.Size) -> int:
        """Return the bytes of the numbers."""
        return shape.numel() * self.dtype.itemsize

    def zeros(self, param: Tensor) -> Stored:
        """Return zeros that lie as the parameter does."""
        fresh = torch.empty_like(param, dtype=self.dtype, requires_grad=False)
        return (_zeroed(fresh),)

    def decode(self, moment: Moment, stored: Stored) -> Tensor:
        """Return the numbers themselves."""
        return stored[0].to(self.computed)

    def encode(self, moment: Moment, number: Tensor, words: Tensor | None) -> Stored:
        """Return the numbers in the dtype."""
        return (number.to(self.dtype),)

    def copy(self, param: Tensor, tensor: Tensor) -> Tensor:
        """Return a copy in the parameter's strides, at least as wide as it wants."""
        dtype = torch.promote_types(tensor.dtype, MOMENT_DTYPE[param.dtype])
        return torch.empty_like(param, dtype=dtype, requires_grad=False).copy_(tensor)

    def check(
        self, what: str, moment: Moment, state: _State, state_dtype: str | None
    ) -> None:
        """Refuse a cast, a scale, and a negative square."""
        # Without a state_dtype, moments keep the width of another model's parameters.
        wants = _WIDE if state_dtype is None else (self.dtype,)
        if state[moment].dtype not in wants:
            raise ValueError(
                f"{what} of {state[moment].dtype}, and with "
                f"state_dtype={state_dtype!r} it wants "
                f"{' or '.join(map(str, wants[:2]))}; some program has cast it since. "
                "Load what state_dict() returned."
            )
        _check_plain(what, moment, state)


@dataclass(frozen=True, slots=True)
class _BFloat16:
    """Moments of two bytes, rounded with noise as `mementum.family.rounding` says."""

    name: str = "bfloat16"
    dtype: torch.dtype = torch.bfloat16
    computed: torch.dtype = torch.float32
    suffixes: tuple[str, ...] = ("",)
    noisy: bool = True

    def refuses(self, param: Tensor) -> str | None:
        """Return None: every parameter can have them."""
        return None

    def nbytes(self, shape: torch.Size) -> int:
        """Return the bytes of the numbers."""
        return shape.numel() * self.dtype.itemsize

    def zeros(self, param: Tensor) -> Stored:
        """Return zeros that lie as the parameter does."""
        fresh = torch.empty_like(param, dtype=self.dtype, requires_grad=False)
        return (_zeroed(fresh),)

    def decode(self, moment: Moment, stored: Stored) -> Tensor:
        """Return the numbers in float32."""
        return stored[0].to(torch.float32)

    def encode(self, moment: Moment, number: Tensor, words: Tensor | None) -> Stored:
        """Return the numbers rounded."""
        number = number.to(torch.float32)
        if moment == "peak":
            return (number.to(torch.bfloat16),)
        assert words is not None
        if moment == "momentum":
            return (rounding.bfloat16_momentum(number, words),)
        return (rounding.bfloat16_square(number, words),)

    def copy(self, param: Tensor, tensor: Tensor) -> Tensor:
        """Return a copy in the strides of the parameter."""
        fresh = torch.empty_like(param, dtype=self.dtype, requires_grad=False)
        return fresh.copy_(tensor)

    def check(
        self, what: str, moment: Moment, state: _State, state_dtype: str | None
    ) -> None:
        """Refuse a scale, and a negative square."""
        _check_plain(what, moment, state)


@dataclass(frozen=True, slots=True)
class _Float8:
    """Moments of one byte, with an exponent for each block of 256 of a row.

    Codes and exponents are contiguous, and rows are those of dimension 0; the codes
    are what `mementum.family.rounding.Float8` says.
    """

    name: str = "float8"
    dtype: torch.dtype = torch.uint8
    computed: torch.dtype = torch.float32
    suffixes: tuple[str, ...] = ("", SCALE)
    noisy: bool = True

    def refuses(self, param: Tensor) -> str | None:
        """Return why the parameter's shards would split blocks, or None."""
        return sharding.refuses_blocks(param)

    def nbytes(self, shape: torch.Size) -> int:
        """Return the bytes of the codes and the exponents."""
        rows, count = rounding.blocks(shape)
        return shape.numel() + rows * count

    def zeros(self, param: Tensor) -> Stored:
        """Return zero codes and exponents, placed as the parameter is."""
        codes = torch.empty_like(
            param,
            dtype=self.dtype,
            requires_grad=False,
            memory_format=torch.contiguous_format,
        )
        count = rounding.blocks(sharding.local(param).shape)
        scale = torch.zeros(count, dtype=self.dtype, device=param.device)
        if sharding.is_sharded(param):
            scale = sharding.scale(param, scale)
        return _zeroed(codes), scale

    def decode(self, moment: Moment, stored: Stored) -> Tensor:
        """Return the numbers in float32."""
        if moment == "momentum":
            return rounding.decoded_momentum(rounding.Float8(*stored))
        return rounding.decoded_square(rounding.Float8(*stored))

    def encode(self, moment: Moment, number: Tensor, words: Tensor | None) -> Stored:
        """Return the codes and exponents of the numbers."""
        number = number.to(torch.float32)
        if moment == "momentum":
            assert words is not None
            return rounding.encoded_momentum(number, words)
        return rounding.encoded_square(number, None if moment == "peak" else words)

    def copy(self, param: Tensor, tensor: Tensor) -> Tensor:
        """Return a copy, contiguous."""
        return tensor.to(param.device, copy=True).contiguous()

    def check(
        self, what: str, moment: Moment, state: _State, state_dtype: str | None
    ) -> None:
        """Refuse codes without an exponent for each block."""
        wants, scale = rounding.blocks(state[moment].shape), state.get(moment + SCALE)
        if not isinstance(scale, Tensor) or scale.dtype != self.dtype:
            raise ValueError(
                f"{what} of float8 codes, and no scale of uint8 for them; save the "
                "whole of state_dict()."
            )
        if tuple(scale.shape) != wants:
            raise ValueError(
                f"{what} of float8 codes with a scale of shape {tuple(scale.shape)}; "
                f"the blocks of the parameter want {wants}."
            )


BFLOAT16, FLOAT8 = _BFloat16(), _Float8()
LOW: dict[str | None, MomentFormat] = {form.name: form for form in (BFLOAT16, FLOAT8)}
_FORMATS: tuple[MomentFormat, ...] = (
    BFLOAT16,
    FLOAT8,
    *map(AsComputed, dict.fromkeys(MOMENT_DTYPE.values())),
)
_BY_DTYPE = {form.dtype: form for form in _FORMATS}

# What moments can be stored in, and what `state_dtype` may be beside None.
FORMATS = ("float32", BFLOAT16.name, FLOAT8.name)
STATE_DTYPES = (*FORMATS, "float64")


def choose(param: Tensor, state_dtype: str | None) -> MomentFormat:
    """Return the format of a parameter's moments in a group with this `state_dtype`."""
    if state_dtype == BFLOAT16.name:
        return BFLOAT16
    if state_dtype == FLOAT8.name and param.dim() > 1 and param.numel() >= _FEWEST:
        return FLOAT8
    wide = state_dtype == "float64"
    return _BY_DTYPE[torch.float64 if wide else MOMENT_DTYPE[param.dtype]]


def recognize(tensor: Tensor) -> MomentFormat:
    """Return the format of a moment, given the tensor under its own name."""
    return _BY_DTYPE.get(tensor.dtype) or AsComputed(tensor.dtype)


def tensors(form: MomentFormat, moment: Moment, state: _State) -> Stored:
    """Return the tensors of a moment. Errors: `KeyError` if one is missing."""
    return tuple(state[moment + suffix] for suffix in form.suffixes)


def entries(form: MomentFormat, moment: Moment, stored: Stored) -> dict[str, Tensor]:
    """Return the tensors of a moment by their names in a state."""
    names = (moment + suffix for suffix in form.suffixes)
    return dict(zip(names, stored, strict=True))


def decode(moment: Moment, state: _State) -> Tensor:
    """Return the numbers of a moment in a state, in float32 or wider."""
    form = recognize(state[moment])
    return form.decode(moment, tensors(form, moment, state))


def refuses(param: Tensor, state_dtype: str | None) -> str | None:
    """Return why a parameter cannot have moments in `state_dtype`, or None."""
    narrower = param.dtype == torch.float64 and state_dtype != "float64"
    if state_dtype is None or not (narrower or param.is_complex()):
        return choose(param, state_dtype).refuses(param)
    return (
        f"state_dtype is {state_dtype!r}, and the parameter is {param.dtype}, whose "
        "moments are kept as wide as itself; leave state_dtype None in its group."
    )


def negative(square: Tensor) -> bool:
    """Whether a square is below zero anywhere; NaN is not."""
    if square.device.type == "meta":
        return False
    # A rank looks at its own part alone: what one refuses, another need not wait for.
    local = getattr(square, "to_local", None)
    mine: Tensor = square if local is None else local()
    if mine.is_complex():
        mine = torch.view_as_real(mine.resolve_conj().resolve_neg())
    return bool((mine < 0).any())


def _check_plain(what: str, moment: Moment, state: _State) -> None:
    """Refuse a moment of numbers that has a scale, or is a square below zero."""
    stored = state[moment]
    if state.get(moment + SCALE) is not None:
        raise ValueError(f"{what} of {stored.dtype} with a scale, and wants none.")
    if moment != "momentum" and negative(stored):
        raise ValueError(
            f"{what} below zero, which no mean of squares is; the file is "
            "damaged, or the moments are another optimizer's."
        )


def _zeroed(fresh: Tensor) -> Tensor:
    """Fill a new and dense tensor with zeros.

    On a CPU not by torch, whose pool of threads is missing in a forked process.
    """
    if type(fresh) is not Tensor or fresh.device.type != "cpu":
        return fresh.zero_()
    ctypes.memset(fresh.data_ptr(), 0, fresh.nbytes)
    return fresh
