"""What a parameter's saved state must be before an optimizer takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mementum.family import limits
from mementum.torch.state import rounding
from mementum.torch.state.moments import LOW, MOMENTS, OWN, RAW, SCALE, misfit, storage

# Steps are counted exactly up to here in the float64 that the numbers are computed in.
LAST = 2**53
WIDE = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def check(
    where: str,
    param: Tensor,
    kept: Any,
    state_dtype: str | None,
    *,
    peak: bool | None,
) -> None:
    """Refuse a parameter's state of another rule, another shape or another format.

    `peak` says whether the rule keeps one, and is None where it may and need not.
    Moments may be infinite or NaN: a run that has come there goes on as it was. A
    square that is negative no run has made. What another program keeps beside them,
    under other names, is its own. Errors: `ValueError` or `TypeError`, beginning with
    `where`.
    """
    if isinstance(kept, Mapping) and not kept:
        return
    _check_names(where, kept, peak)
    steps_taken(where, kept["step"])
    for name in MOMENTS:
        if name in kept:
            check_shape(f"{where} has a {name}", param, kept[name])
    if (reason := misfit(param, kept, state_dtype)) is not None:
        raise ValueError(f"{where}: {reason}")
    for name in MOMENTS:
        if name in kept:
            what, moment = f"{where} has a {name}", kept[name]
            _check_dtype(what, param, moment, state_dtype)
            _check_scale(what, moment, kept.get(name + SCALE))
            if name != "momentum" and negative(moment):
                raise ValueError(
                    f"{what} below zero, which no mean of squares is; the file is "
                    "damaged, or the moments are another optimizer's."
                )


def steps_taken(where: str, step: Any) -> int:
    """Return a saved step as an int; torch keeps it as a float, or a tensor of one."""
    wants = f"the number of steps taken is a whole number of at most {LAST:,}."
    plain = limits.number(f"{where}: step", step, below=float(LAST + 2), wants=wants)
    if not plain.is_integer():
        raise ValueError(f"{where}: step is {plain}; {wants}")
    return int(step)


def is_note(key: Any, kept: Any) -> bool:
    """Whether an entry of a state dict's state is a program's own, and no moments."""
    return isinstance(key, str) and not (isinstance(kept, Mapping) and OWN & set(kept))


def _check_names(where: str, kept: Any, peak: bool | None) -> None:
    names = set(kept) if isinstance(kept, Mapping) else set()
    needed = {"step", *(MOMENTS if peak else MOMENTS[:2])}
    moments = MOMENTS[:2] if peak is False else MOMENTS
    allowed = {"step", *moments, *(name + SCALE for name in moments)}
    scales = {name + SCALE for name in MOMENTS if name not in names}
    foreign = (OWN | {*RAW.values()}) - allowed
    if needed <= names and not (foreign | scales) & names:
        return
    holds = ", ".join(sorted(map(str, names))) or f"nothing but {kept!r:.40}"
    wants = ", ".join(name for name in ("step", *MOMENTS) if name in needed)
    raise ValueError(
        f"{where} holds {holds}; this rule keeps {wants}. Load it into the optimizer "
        "that saved it, and convert from there with mementum.convert."
    )


def check_shape(what: str, param: Tensor, moment: Any) -> None:
    """Refuse a moment that is no tensor, or not one of the parameter's shape."""
    if not isinstance(moment, Tensor):
        raise TypeError(f"{what} that is {type(moment).__name__}, and not a tensor.")
    if moment.shape != param.shape:
        raise ValueError(
            f"{what} of shape {tuple(moment.shape)}, and the parameter has "
            f"{tuple(param.shape)}; build the optimizer from the same model."
        )
    if moment.is_complex() != param.is_complex():
        raise ValueError(
            f"{what} of {moment.dtype}, and the parameter is {param.dtype}; one is "
            "complex and the other not."
        )


def _check_dtype(
    what: str, param: Tensor, moment: Tensor, state_dtype: str | None
) -> None:
    # Without a state_dtype, moments keep the width of another model's parameters.
    wants = WIDE if state_dtype is None else (storage(param, state_dtype),)
    if moment.dtype not in wants:
        raise ValueError(
            f"{what} of {moment.dtype}, and with state_dtype={state_dtype!r} it wants "
            f"{' or '.join(map(str, wants[:2]))}; some program has cast it since. Load "
            "what state_dict() returned."
        )


def _check_scale(what: str, moment: Tensor, scale: Any) -> None:
    """Refuse float8 codes without an exponent for each block, and one without them."""
    if LOW.get(moment.dtype) != "float8":
        if scale is not None:
            raise ValueError(f"{what} of {moment.dtype} with a scale, and wants none.")
        return
    wants = rounding.blocks(moment.shape) if moment.dim() > 1 else ()
    if not isinstance(scale, Tensor) or scale.dtype != torch.uint8:
        raise ValueError(
            f"{what} of float8 codes, and no scale of uint8 for them; save the whole "
            "of state_dict()."
        )
    if tuple(scale.shape) != wants:
        raise ValueError(
            f"{what} of float8 codes with a scale of shape {tuple(scale.shape)}; the "
            f"blocks of the parameter want {wants}."
        )


def negative(moment: Tensor) -> bool:
    """Whether a square is below zero anywhere; NaN is not."""
    if moment.dtype == torch.uint8 or moment.device.type == "meta":
        return False
    # A rank looks at its own part alone: what one refuses, another need not wait for.
    local = getattr(moment, "to_local", None)
    mine: Tensor = moment if local is None else local()
    if mine.is_complex():
        mine = torch.view_as_real(mine.resolve_conj().resolve_neg())
    return bool((mine < 0).any())
