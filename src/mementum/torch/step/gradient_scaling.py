"""What gradients meet on their way into a step: unscaling, clipping, a policy.

None of it touches a gradient. All ends in one factor, which the kernel applies as it
reads, and in whether the step is skipped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mementum.torch.backends import is_asynchronous
from mementum.torch.groups.options import Group, named
from mementum.torch.step.gradient_norms import (
    any_nonfinite,
    read,
    square_sums,
    total,
    with_gradients,
)

# Beside the norm, as in torch.nn.utils.clip_grad_norm_: no gradient divides by zero.
_BESIDE = 1e-6

_RANK = ("propagate", "skip", "raise")


class GradientScaling(NamedTuple):
    """What a step does with its gradients.

    They are multiplied by `scale`. `norm` is their global norm after unscaling, None
    unless a group clips. Whether the step is to `skip`, and whether the gradients were
    `clipped`, the host knows; where it does not wait to learn it, the device says it in
    boolean tensors, and the scale and norm are tensors too.
    """

    scale: float | Tensor = 1.0
    norm: float | Tensor | None = None
    skip: bool = False
    clipped: bool = False
    skip_on_device: Tensor | None = None
    clipped_on_device: Tensor | None = None


def compute(
    groups: list[Group], grad_scale: Tensor | None, found_inf: Tensor | None
) -> GradientScaling:
    """Return what a step does with the gradients of these groups.

    `grad_scale` divides them and `found_inf` skips the step, as a
    `torch.amp.GradScaler` says. Errors: `FloatingPointError` where the policy is to
    raise.
    """
    if not groups:
        return GradientScaling()
    if all(group["capturable"] for group in groups):
        return _on_device(groups, grad_scale, found_inf)
    if found_inf is not None and float(found_inf):
        return GradientScaling(skip=True)
    inverse = 1.0 if grad_scale is None else 1 / float(grad_scale)
    max_norm = groups[0]["clip_norm"]
    if max_norm is None:
        return GradientScaling(inverse, skip=_meets_policy(groups))
    if all(group["nonfinite"] == "propagate" for group in groups) and _waits(groups):
        return _on_device(groups, grad_scale, None)
    return _clipped(groups, max_norm, inverse)


def _waits(groups: list[Group]) -> bool:
    """Whether reading a norm on the host would wait for a device."""
    devices = {param.device for group in groups for param in group["params"]}
    return any(is_asynchronous(device) for device in devices)


def _meets_policy(groups: list[Group]) -> bool:
    """Whether a gradient that is watched is bad; raises if that is the policy."""
    policies = {group["nonfinite"] for group in groups}
    for policy in ("raise", "skip"):
        if policy not in policies:
            continue
        watched = (
            pair
            for index, group in enumerate(groups)
            if group["nonfinite"] == policy
            for pair in named(index, group)
        )
        _, name = read(with_gradients(watched))
        if name is not None:
            return _skips(policy, name)
    return False


def _skips(policy: str, name: str) -> bool:
    if policy != "raise":
        return policy == "skip"
    raise FloatingPointError(
        f"the gradient of {name} is infinite or NaN; nothing was changed. "
        "To leave such steps out, use nonfinite='skip'."
    )


def _clipped(groups: list[Group], max_norm: float, inverse: float) -> GradientScaling:
    """Return what a step on the host does; one reading serves norm and policy.

    The norm is over all groups, so the strictest policy of any of them meets it.
    """
    pairs = with_gradients(
        pair for index, group in enumerate(groups) for pair in named(index, group)
    )
    squares, name = read(pairs)
    policy = max((group["nonfinite"] for group in groups), key=_RANK.index)
    if name is not None and _skips(policy, name):
        return GradientScaling(skip=True)
    norm = inverse * math.sqrt(_sum(squares))
    coefficient = max_norm / (norm + _BESIDE)
    if coefficient >= 1:
        return GradientScaling(inverse, norm)
    return GradientScaling(inverse * coefficient, norm, clipped=True)


def _sum(squares: list[float]) -> float:
    """Return the exact sum, rounded once: the same in whatever order and groups."""
    try:
        return math.fsum(squares)
    except OverflowError:
        return math.inf


def _on_device(
    groups: list[Group], grad_scale: Tensor | None, found_inf: Tensor | None
) -> GradientScaling:
    """Return what a step does whose numbers nobody waits for."""
    params = [p for group in groups for p in group["params"] if p.grad is not None]
    if not params:
        return GradientScaling()
    device = params[0].device
    skip = None if found_inf is None else _wide(found_inf, device) != 0
    scale = 1.0 if grad_scale is None else _wide(grad_scale, device).reciprocal()
    max_norm, watched = groups[0]["clip_norm"], _watched(groups)
    if max_norm is None and not watched:
        return GradientScaling(scale, skip_on_device=skip)
    looked_at = watched if max_norm is None else params
    squares = total(looked_at, square_sums)
    assert squares is not None
    if watched:
        bad = any_nonfinite(looked_at, squares)
        skip = bad if skip is None else skip | bad
    if max_norm is None:
        return GradientScaling(scale, skip_on_device=skip)
    norm = squares.sum().sqrt() * scale
    coefficient = max_norm / (norm + _BESIDE)
    clipped = coefficient < 1
    if skip is not None:
        clipped &= ~skip
    scale = scale * coefficient.clamp(max=1)
    return GradientScaling(scale, norm, skip_on_device=skip, clipped_on_device=clipped)


def _watched(groups: list[Group]) -> list[Tensor]:
    """Return the parameters whose gradients skip a step that is captured."""
    return [
        param
        for group in groups
        for param in group["params"]
        if group["nonfinite"] == "skip" and param.grad is not None
    ]


def _wide(number: float | Tensor, device: torch.device) -> Tensor:
    """Return a number or a tensor of one element as a float64 scalar on a device."""
    if isinstance(number, Tensor):
        return number.detach().reshape(()).to(device=device, dtype=torch.float64)
    return torch.full((), float(number), dtype=torch.float64, device=device)


def refuse_scaling(grad_scale: Tensor | None, found_inf: Tensor | None) -> None:
    """Refuse a scale that comes after the parameters were stepped."""
    if grad_scale is not None or found_inf is not None:
        raise RuntimeError(
            "a GradScaler knows its scale is bad only after the backward pass, which "
            "step_in_backward has stepped in; train in bfloat16, or use the ordinary "
            "loop."
        )


def count(groups: list[Group], scaling: GradientScaling) -> None:
    """Count in each group whether the step was skipped, and whether it was clipped.

    What the device alone knows is counted there, in place.
    """
    for name, here, there in (
        ("skipped_steps", scaling.skip, scaling.skip_on_device),
        ("clipped_steps", scaling.clipped, scaling.clipped_on_device),
    ):
        if here:
            for group in groups:
                group[name] += 1
        if there is not None:
            for group in groups:
                group[name] = _counted(group[name], there)


def _counted(before: int | Tensor, more: Tensor) -> Tensor:
    """Return a count on the device where one more is counted, or none."""
    if isinstance(before, Tensor) and before.device == more.device:
        return before.add_(more)
    return torch.full_like(more, int(before), dtype=torch.int64).add_(more)
