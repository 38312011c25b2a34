"""The refusal of parameters that no step can update."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor
from torch.nn.parameter import is_lazy

from mementum.torch.groups.options import Group, named
from mementum.torch.groups.shared_memory import refuse_shared_memory
from mementum.torch.state import sharding
from mementum.torch.state.formats import MOMENT_DTYPE, refuses


def refuse_parameters(groups: Sequence[Group], *, since: int = 0) -> None:
    """Refuse parameters that cannot be stepped, in groups from one on.

    Errors: `TypeError`, `ValueError` or `NotImplementedError` with the name of the
    parameter.
    """
    for index, group in enumerate(groups[since:], since):
        _refuse_kinds(named(index, group))
        _refuse_storage(named(index, group), group["state_dtype"])
        if group["differentiable"]:
            sharding.refuse_derivatives(named(index, group))
    refuse_shared_memory(groups, since=since)


def _refuse_kinds(params: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse parameters in a dtype that has no step, and lazy views.

    Errors: `TypeError` or `ValueError` with the name of the parameter.
    """
    for name, param in params:
        if is_lazy(param):
            continue
        if param.requires_grad and param.dtype not in MOMENT_DTYPE:
            raise TypeError(
                f"{name} is {param.dtype}; a step wants a real or complex "
                "floating-point dtype of 16 bits or more."
            )
        if param.is_conj() or param.is_neg():
            raise ValueError(
                f"{name} is a lazy conjugate or negation of another tensor; pass "
                "its resolve_conj().resolve_neg()."
            )


def _refuse_storage(
    params: Iterable[tuple[str, Tensor]], state_dtype: str | None
) -> None:
    """Refuse parameters whose moments cannot be stored in a dtype.

    Errors: `ValueError` with the name of the parameter.
    """
    for name, param in params:
        if not param.requires_grad or is_lazy(param):
            continue
        if (reason := refuses(param, state_dtype)) is not None:
            raise ValueError(f"{name}: {reason}")
