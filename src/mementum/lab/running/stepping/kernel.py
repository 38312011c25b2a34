"""Steps a row of a stack by the compiled kernel alone, with numbers made beforehand.

An optimizer of the family tells the kernel twelve numbers a step. They depend on its
rule, the learning rate and the step, so they are known before a run begins, and a step
of one is a copy of twelve numbers and a call: 1 us, where the optimizer takes 90 us
over a few parameters. The kernel is the same, and so are the bits.
"""

from __future__ import annotations

import ctypes
import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import Optimizer

from mementum.family.rule import Rule
from mementum.lab.planning.schedule import FACTORS
from mementum.lab.records.run import CONSTANT
from mementum.torch.backends import native
from mementum.torch.backends.bucket import Bucket
from mementum.torch.family_optimizer import FamilyOptimizer
from mementum.torch.groups.options import EXECUTION

_PLAIN = {name: value for name, value in EXECUTION.items() if name != "seed"}
"""What a group says that leaves a step to its twelve numbers."""


class KernelStepper:
    """Takes the steps of an optimizer in its place, once the gradients are there."""

    def __init__(self, optimizer: FamilyOptimizer, schedule: str, steps: int) -> None:
        (group,) = optimizer.param_groups
        self._params = [
            each for each in group["params"] if each.grad is not None and each.numel()
        ]
        rule = optimizer.recipe.rule(
            {name: group[name] for name in optimizer.recipe.defaults}
        )
        double = self._params[0].dtype == torch.float64
        self._numbers = _numbers(rule, group["lr"], schedule, steps, double=double)
        moments = [[*map(torch.zeros_like, self._params)] for _ in range(3)]
        self._bucket = Bucket(
            params=self._params,
            momentum=moments[0],
            square=moments[1],
            peak=moments[2] if rule.peak else [],
        )
        self.point()

    @classmethod
    def of(
        cls, optimizer: Optimizer, schedule: str, steps: int
    ) -> KernelStepper | None:
        """Return what steps in the place of an optimizer, where that is the same."""
        if not isinstance(optimizer, FamilyOptimizer) or native.library() is None:
            return None
        group, *others = optimizer.param_groups
        dtypes = {each.dtype for each in group["params"]}
        plain = all(group[name] == value for name, value in _PLAIN.items())
        single = dtypes in ({torch.float32}, {torch.float64})
        if others or not plain or not single:
            return None
        return cls(optimizer, schedule, steps)

    def point(self) -> None:
        """Find out where the parameters and their gradients lie now."""
        bucket = self._bucket
        bucket.grads = [each.grad for each in self._params]
        bucket.addresses = None
        native.ready(bucket)
        self._into = np.ctypeslib.as_array(bucket.plan.job.numbers)
        self._job = ctypes.byref(bucket.plan.job)

    def step(self, number: int) -> None:
        """Take a step, counted from 0."""
        kernel = native.library()
        assert kernel is not None
        self._into[:] = self._numbers[number]
        if kernel.mementum_step(self._job):
            raise RuntimeError("the compiled kernel does not fit this package.")


@functools.lru_cache(maxsize=256)
def _numbers(
    rule: Rule, lr: float, schedule: str, steps: int, *, double: bool
) -> NDArray[np.float64]:
    """Return the twelve numbers of every step: float32's, unless parameters are wider.

    The rows of all seeds share them.
    """
    table = np.array(
        [
            rule.at(
                step + 1,
                lr if schedule == CONSTANT else lr * FACTORS[schedule](step, steps),
            )
            for step in range(steps)
        ]
    )
    return table if double else table.astype(np.float32).astype(np.float64)
