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
from mementum.torch.groups.options import Group, plain
from mementum.torch.step.gradient_scaling import GradientScaling

_TORCH = cast("Namespace", torch)


def namespace(group: Mapping[str, Any]) -> Namespace:
    """Return where a group's numbers are computed: on the host, or by torch."""
    if group["capturable"]:
        return _TORCH
    if not group["differentiable"]:
        return math
    options = (*group.values(), *group.get("betas", ()))
    return _TORCH if any(isinstance(option, Tensor) for option in options) else math


def in_float64(hyperparameters: dict[str, Any], xp: Namespace) -> dict[str, Any]:
    """Return hyperparameters whose tensors, betas included, are float64 scalars."""
    if xp is math:
        return hyperparameters
    return {
        name: tuple(map(_wide, value)) if isinstance(value, tuple) else _wide(value)
        for name, value in plain(hyperparameters).items()
    }


def _wide(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.reshape(()).to(torch.float64)


def refuse_capture(groups: list[Group]) -> None:
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
    rule: Rule,
    group: Mapping[str, Any],
    bucket: Bucket,
    scaling: GradientScaling,
    known: dict[Any, Coefficients],
) -> Coefficients:
    """Return the twelve numbers of a bucket's step.

    `known` are those of other buckets in the same step, for groups that agree.
    """
    scale = -scaling.scale if group["maximize"] else scaling.scale
    if namespace(group) is not math:
        return _by_torch(rule, group, bucket, scaling._replace(scale=scale))
    lr = limits.learning_rate(group["lr"])
    key = id(rule), bucket.step, lr, scale, bucket.dtype
    if key not in known:
        found = rule.at(bucket.step, lr, math)._replace(scale=scale)
        if bucket.dtype == torch.float32:
            # A number too small for a float32 is none, on every path.
            found = Coefficients(*array("f", found))
        known[key] = found
    return known[key]


def _by_torch(
    rule: Rule, group: Mapping[str, Any], bucket: Bucket, scaling: GradientScaling
) -> Coefficients:
    """Return the twelve numbers as float64 tensors, where step and options have them.

    So that a capture records how they are computed, or autograd runs through them.
    """
    step = bucket.step
    if not isinstance(step, Tensor):
        step = torch.tensor(step, dtype=torch.float64, device="cpu")
    found = rule.at(step, _wide(group["lr"]), _TORCH)._replace(scale=scaling.scale)
    if scaling.skip_on_device is not None:
        found = _still(found, scaling.skip_on_device.to(bucket.params[0].device))
    return found


def _still(c: Coefficients, skip: Tensor) -> Coefficients:
    """Return numbers that change nothing where the device skips the step.

    The gradient must be 0 then, not infinite. A divisor of 0 is avoided.
    """
    zeros = {
        name: torch.where(skip, 0.0, _on(skip, number))
        for name in ("take_m", "take_v", "shrink", "step_g", "step_m")
        if not plainly(number := getattr(c, name), 0)
    }
    return c._replace(**zeros, eps_out=torch.where(skip, 1.0, _on(skip, c.eps_out)))


def _on(skip: Tensor, number: Any) -> Tensor:
    if isinstance(number, Tensor):
        return number
    return torch.full((), number, dtype=torch.float64, device=skip.device)
