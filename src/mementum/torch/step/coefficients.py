"""The twelve numbers of a bucket's step, computed where its group wants them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from mementum.family import limits
from mementum.family.memory import Namespace
from mementum.family.rule import Coefficients, Rule, plainly
from mementum.torch.backends.bucket import Bucket
from mementum.torch.step.gradient_scaling import Intake

TORCH = cast("Namespace", torch)


def namespace(group: Mapping[str, Any]) -> Namespace:
    """Return where a group's numbers are computed: on the host, or by torch."""
    if group["capturable"]:
        return TORCH
    if not group["differentiable"]:
        return math
    options = (*group.values(), *group.get("betas", ()))
    return TORCH if any(isinstance(option, Tensor) for option in options) else math


def widened(hyperparameters: dict[str, Any], xp: Namespace) -> dict[str, Any]:
    """Return hyperparameters whose tensors, betas included, are float64 scalars."""
    if xp is math:
        return hyperparameters
    return {
        name: tuple(map(_wide, value))
        if isinstance(value, tuple | list)
        else _wide(value)
        for name, value in hyperparameters.items()
    }


def _wide(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.reshape(()).to(torch.float64)


def refuse_capture(groups: list[dict[str, Any]]) -> None:
    """Refuse to be captured with numbers that a replay would repeat for ever."""
    if all(group["capturable"] for group in groups):
        return
    # Asking an uninitialised CUDA would initialise it.
    initialised: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    if initialised and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "a graph is being captured, which would replay this step's numbers for "
            "ever; construct the optimizer with capturable=True."
        )


def numbers(
    rule: Rule, group: Mapping[str, Any], bucket: Bucket, xp: Namespace, taken: Intake
) -> Coefficients:
    """Return the twelve numbers of a bucket's step."""
    lr, step = group["lr"], bucket.step
    if xp is math:
        lr = limits.learning_rate(lr)
    else:
        lr = _wide(lr)
        step = torch.as_tensor(step, dtype=torch.float64)
    scale = -taken.factor if group["maximize"] else taken.factor
    found = rule.at(step, lr, xp)._replace(scale=scale)
    if isinstance(taken.left_out, Tensor):
        found = _held(found, taken.left_out.to(bucket.params[0].device))
    if xp is math and bucket.dtype == torch.float32:
        # A number too small for a float32 is none, on every path.
        found = Coefficients(*array("f", found))
    return found


def _held(c: Coefficients, left_out: Tensor) -> Coefficients:
    """Return numbers that change nothing where the step is left out, on the device.

    The gradient must be 0 then, not infinite. A divisor of 0 is avoided.
    """
    still = {
        name: torch.where(left_out, 0.0, _on(left_out, number))
        for name in ("take_m", "take_v", "shrink", "step_g", "step_m")
        if not plainly(number := getattr(c, name), 0)
    }
    return c._replace(
        **still, eps_out=torch.where(left_out, 1.0, _on(left_out, c.eps_out))
    )


def _on(left_out: Tensor, number: Any) -> Tensor:
    if isinstance(number, Tensor):
        return number
    return torch.full((), number, dtype=torch.float64, device=left_out.device)
