"""What gradients meet on their way into a step: unscaling, clipping, a policy.

None of it touches a gradient. All ends in one factor, which the kernel applies as it
reads, and in whether the step is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mementum.torch.groups.options import named
from mementum.torch.step.gradient_norms import read, square_sums, total, with_gradients

# Beside the norm, as in torch.nn.utils.clip_grad_norm_: no gradient divides by zero.
BESIDE = 1e-6

RANK = ("propagate", "skip", "raise")


@dataclass(frozen=True, slots=True)
class Intake:
    """What a step does with its gradients.

    They are multiplied by `factor`, and the step is `left_out` or not. `norm` is their
    global norm after unscaling, None unless it was asked for, and `clipped` whether it
    was too large. Where every group is captured these are tensors on the device.
    """

    factor: Any = 1.0
    left_out: Any = False
    norm: Any = None
    clipped: Any = False


def of(groups: list[dict[str, Any]], grad_scale: Any, found_inf: Any) -> Intake:
    """Return what a step does with the gradients of these groups.

    `grad_scale` divides them and `found_inf` leaves the step out, as a
    `torch.amp.GradScaler` says. Errors: `FloatingPointError` where the policy is to
    raise.
    """
    if not groups:
        return Intake()
    if all(group["capturable"] for group in groups):
        return _on_device(groups, grad_scale, found_inf)
    if found_inf is not None and float(found_inf):
        return Intake(left_out=True)
    inverse = 1.0 if grad_scale is None else 1 / float(grad_scale)
    max_norm = groups[0]["clip_norm"]
    if max_norm is None:
        return Intake(inverse, left_out=_meets_policy(groups))
    return _clipped(groups, max_norm, inverse)


def _meets_policy(groups: list[dict[str, Any]]) -> bool:
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
            return _left_out(policy, name)
    return False


def _left_out(policy: str, name: str) -> bool:
    if policy != "raise":
        return policy == "skip"
    raise FloatingPointError(
        f"the gradient of {name} is infinite or NaN; nothing was changed. "
        "To leave such steps out, use nonfinite='skip'."
    )


def _clipped(groups: list[dict[str, Any]], max_norm: float, inverse: float) -> Intake:
    """Return the intake of a step on the host; one reading serves norm and policy.

    The norm is over all groups, so the strictest policy of any of them meets it.
    """
    pairs = with_gradients(
        pair for index, group in enumerate(groups) for pair in named(index, group)
    )
    squares, name = read(pairs)
    policy = max((group["nonfinite"] for group in groups), key=RANK.index)
    if name is not None and _left_out(policy, name):
        return Intake(left_out=True)
    norm = inverse * math.sqrt(_sum(squares))
    coefficient = max_norm / (norm + BESIDE)
    if coefficient >= 1:
        return Intake(inverse, norm=norm)
    return Intake(inverse * coefficient, norm=norm, clipped=True)


def _sum(squares: list[float]) -> float:
    """Return the exact sum, rounded once: the same in whatever order and groups."""
    try:
        return math.fsum(squares)
    except OverflowError:
        return math.inf


def _on_device(groups: list[dict[str, Any]], scale: Any, found_inf: Any) -> Intake:
    """Return the intake of a captured step, whose numbers nobody waits for."""
    params = [p for group in groups for p in group["params"] if p.grad is not None]
    if not params:
        return Intake()
    device = params[0].device
    left_out = False if found_inf is None else _wide(found_inf, device) != 0
    factor = 1.0 if scale is None else _wide(scale, device).reciprocal()
    max_norm = groups[0]["clip_norm"]
    if max_norm is None:
        return Intake(factor, left_out)
    squares = total(params, square_sums)
    assert squares is not None
    norm = squares.sum().sqrt() * factor
    coefficient = max_norm / (norm + BESIDE)
    clipped = coefficient < 1
    factor = factor * coefficient.clamp(max=1)
    if isinstance(left_out, Tensor):
        clipped &= ~left_out
        # The norm of what overflowed may be NaN, and zeros times NaN are not zeros.
        factor = torch.where(left_out, torch.ones_like(factor), factor)
    return Intake(factor, left_out, norm, clipped)


def _wide(number: Any, device: torch.device) -> Tensor:
    """Return a number or a tensor of one element as a float64 scalar on a device."""
    if isinstance(number, Tensor):
        return number.detach().reshape(()).to(device=device, dtype=torch.float64)
    return torch.full((), float(number), dtype=torch.float64, device=device)


def held(grads: list[Tensor], left_out: Tensor) -> list[Tensor]:
    """Return the gradients, or zeros where the step is left out."""
    here = left_out.to(grads[0].device)
    return [torch.where(here, torch.zeros_like(grad), grad) for grad in grads]


def refuse_scaling(in_backward: bool, *scaling: Any) -> None:
    """Refuse a scale that comes after the parameters were stepped."""
    if in_backward and any(each is not None for each in scaling):
        raise RuntimeError(
            "a GradScaler knows its scale is bad only after the backward pass, which "
            "step_in_backward has stepped in; train in bfloat16, or use the ordinary "
            "loop."
        )


def tally(group: dict[str, Any], name: str, happened: bool | Tensor) -> None:
    """Add to a count: on the host, or in place on the device where that is known."""
    if isinstance(happened, Tensor) and not isinstance(group[name], Tensor):
        count, device = group[name], happened.device
        group[name] = torch.full((), count, dtype=torch.int64, device=device)
    if happened is not False:
        group[name] += happened
