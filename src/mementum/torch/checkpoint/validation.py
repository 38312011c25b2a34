"""What a parameter's saved state must be before an optimizer takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mementum.family import limits
from mementum.torch.state import formats
from mementum.torch.state.formats import SCALE, Moment, MomentFormat
from mementum.torch.state.moments import MOMENTS, OWN, RAW

# Steps are counted exactly up to here in the float64 that the numbers are computed in.
_LAST = 2**53


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
    names = [name for name in MOMENTS if name in kept]
    for name in names:
        check_shape(f"{where} has a {name}", param, kept[name])
    form = formats.choose(param, state_dtype)
    for name in names:
        _check_format(where, name, kept[name], form, state_dtype)
    for name in names:
        form.check(f"{where} has a {name}", name, kept, state_dtype)


def _check_format(
    where: str,
    name: Moment,
    moment: Tensor,
    form: MomentFormat,
    state_dtype: str | None,
) -> None:
    """Refuse a moment that is not stored as `state_dtype` says."""
    stored = formats.recognize(moment)
    if type(stored) is not type(form):
        kind = stored.name if stored.noisy else moment.dtype
        raise ValueError(
            f"{where}: its {name} is stored in {kind}, and state_dtype is "
            f"{state_dtype!r}; use the state_dtype it was saved with."
        )


def steps_taken(where: str, step: Any) -> int:
    """Return a saved step as an int; torch keeps it as a float, or a tensor of one."""
    wants = f"the number of steps taken is a whole number of at most {_LAST:,}."
    plain = limits.number(f"{where}: step", step, below=float(_LAST + 2), wants=wants)
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
