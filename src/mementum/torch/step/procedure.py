"""One step, of whole groups or of a single parameter, from gradients to kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mementum.family.rule import Coefficients
from mementum.torch.backends import Backend
from mementum.torch.backends.bucket import Bucket
from mementum.torch.groups.errors import named_after
from mementum.torch.groups.options import Group, refuse_names
from mementum.torch.state import State
from mementum.torch.step import gradient_scaling
from mementum.torch.step.bucketing import BucketCache, GroupStep, Names
from mementum.torch.step.coefficients import numbers, refuse_capture
from mementum.torch.step.gradient_norms import refuse_sparse
from mementum.torch.step.gradient_scaling import GradientScaling


def take_step(
    steps: Sequence[GroupStep],
    buckets: BucketCache,
    state: State,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
    *,
    names: Names,
    optimizer: str,
    update: bool = True,
) -> GradientScaling:
    """Step these groups, or only begin their state; return what scaled the gradients.

    `buckets` are the cache of these groups from step to step, `names` those of
    parameters whose group has none, and `optimizer` the name that errors begin with.
    Where an error is raised, no parameter has changed and no step is counted.
    """
    groups = [step.group for step in steps]
    try:
        with named_after(optimizer):
            scaling = _gather(
                groups, steps, buckets, state, (grad_scale, found_inf), names
            )
            ready = buckets.prepare(steps) if update and not scaling.skip else []
        gradient_scaling.count(groups, scaling)
        known: dict[Any, Coefficients] = {}
        for step, bucket, backend in ready:
            _update(step, bucket, backend, scaling, known)
    finally:
        buckets.release()
    return scaling


def _gather(
    groups: list[Group],
    steps: Sequence[GroupStep],
    buckets: BucketCache,
    state: State,
    verdict: tuple[Tensor | None, Tensor | None],
    names: Names,
) -> GradientScaling:
    """Fetch the tensors of a step into buckets; return what scales the gradients.

    `verdict` is a `torch.amp.GradScaler`'s: its scale, and whether infinities were met.
    """
    refuse_capture(groups)
    outdated = buckets.outdated(steps, state)
    if outdated:
        refuse_names([groups[index] for index in outdated])
        refuse_sparse(groups)
    scaling = gradient_scaling.compute(groups, *verdict)
    if not scaling.skip:
        buckets.rebuild(steps, outdated, state, names)
    return scaling


def _update(
    step: GroupStep,
    bucket: Bucket,
    backend: Backend | None,
    scaling: GradientScaling,
    known: dict[Any, Coefficients],
) -> None:
    group, skip = step.group, scaling.skip_on_device
    if group["capturable"]:
        bucket.advance_on_device(skip)
    else:
        bucket.advance()
    if backend is not None:
        if skip is not None:
            bucket.skip = skip.to(bucket.params[0].device)
        backend.update(numbers(step.rule, group, bucket, scaling, known), bucket)
