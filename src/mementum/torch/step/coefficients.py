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
from mementum.family.rule import Coefficients, Rule
from mementum.torch.backends.bucket import Bucket
from mementum.torch.backends.capture import capturing
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
    if capturing():
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
        return _by_torch(rule, group, bucket)._replace(scale=scale)
    lr = limits.learning_rate(group["lr"])
    factor = 1.0 if isinstance(scale, Tensor) else scale
    key = id(rule), bucket.step, lr, factor, bucket.dtype
    if key not in known:
        found = rule.at(bucket.step, lr, math)._replace(scale=factor)
        if bucket.dtype == torch.float32:
            # A number too small for a float32 is none, on every path.
            found = Coefficients(*array("f", found))
        known[key] = found
    # A factor that the device computes is rounded there.
    return known[key]._replace(scale=scale) if factor is not scale else known[key]


def _by_torch(rule: Rule, group: Mapping[str, Any], bucket: Bucket) -> Coefficients:
    """Return the twelve numbers as float64 tensors, where step and options have them.

    So that a capture records how they are computed, or autograd runs through them.
    """
    step = bucket.step
    if not isinstance(step, Tensor):
        step = torch.tensor(step, dtype=torch.float64, device="cpu")
    lr = _wide(group["lr"])
    if isinstance(lr, Tensor) and lr.device.type != "cpu":
        lr = lr.to(step.device)
    return rule.at(step, lr, _TORCH)
