"""The gradient of a step, taken as often as an optimizer asks for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch.optim import Optimizer

from mementum.lab.errors import LabError
from mementum.lab.records.run import CPU
from mementum.lab.tasks.own.batches import FIRST


class NothingTrainedError(LabError):
    """A run has nothing to train, or trained nothing: it has no result."""


BLOCK = 50
"""Losses that are read at a time from an accelerator: it waits for each reading."""


def block(parameters: Sequence[torch.Tensor]) -> int:
    """Return how many losses of these parameters are read at a time."""
    return 1 if all(each.device.type == CPU for each in parameters) else BLOCK


@dataclass
class Losses:
    """The losses of a run, read in blocks: is each one to go on from?

    A run goes on to the end of its block, and ends where it would have ended had each
    loss been read at once.
    """

    limit: float
    block: int
    unread: list[torch.Tensor] = field(default_factory=list)

    def take(self, loss: torch.Tensor, step: int) -> bool:
        """Take the loss of a step; return whether those that are read are bearable.

        The first are read one by one, as a run that ends there has their batches in
        its record.
        """
        self.unread.append(loss)
        due = len(self.unread) >= self.block or step < FIRST
        return self.bearable() if due else True

    def bearable(self) -> bool:
        """Read the losses that are unread; return whether a run goes on from them."""
        unread, self.unread = self.unread, []
        if len(unread) > 1:
            values = torch.stack(unread).tolist()
        else:
            values = [loss.item() for loss in unread]
        return all(bearable(value, self.limit) for value in values)


def bearable(loss: float, limit: float) -> bool:
    """Return whether a loss is one to go on from."""
    return math.isfinite(loss) and loss <= limit


@dataclass
class Closure:
    """Takes the gradient of a step; an optimizer may call it more than once."""

    optimizer: Optimizer
    loss: Callable[[], torch.Tensor] | None = None
    values: list[torch.Tensor] = field(default_factory=list)
    """The losses of this step, which nobody has read."""
    seconds: float = 0.0
    error: Exception | None = None
    """What it raised: the task's error, and not the optimizer's."""
    moving: bool = False
    """Whether some gradient was not zero yet."""

    def begin(self, loss: Callable[[], torch.Tensor]) -> None:
        """Turn to the loss of the next step."""
        self.loss, self.values, self.seconds = loss, [], 0.0

    @torch.enable_grad()
    def __call__(self) -> torch.Tensor:
        """Return the loss at the present parameters, after its backward pass."""
        began = time.perf_counter()
        assert self.loss is not None
        self.optimizer.zero_grad()
        try:
            loss = differentiable(self.loss())
            loss.backward()  # type: ignore[no-untyped-call]
            self.moving = self.moving or self._moves()
        except Exception as error:
            self.error = error
            raise
        self.values.append(loss.detach().reshape(()))
        self.seconds += time.perf_counter() - began
        return loss

    def _moves(self) -> bool:
        """Return whether a gradient is not zero; that there is none is an error."""
        groups = self.optimizer.param_groups
        grads = [each.grad for group in groups for each in group["params"]]
        found = [grad for grad in grads if grad is not None]
        if not found:
            raise NothingTrainedError(_UNTRAINED)
        return any(bool((grad != 0).any()) for grad in map(_values, found))

    def check_trained(
        self,
        begun: Sequence[torch.Tensor],
        parameters: Sequence[torch.Tensor],
        steps: int,
    ) -> None:
        """Raise for a run without a gradient, or one that changed no parameter.

        Weight decay alone changes parameters, and trains nothing.
        """
        if self.moving and not all(map(torch.equal, begun, parameters)):
            return
        lacking = "no parameter has changed" if self.moving else "all gradients were 0"
        raise NothingTrainedError(
            f"{lacking} in {steps} steps, so nothing was trained; let the loss depend "
            "on the parameters, and the learning rate be large enough to change them."
        )


_UNTRAINED = (
    "the loss depends on no parameter of the model, so nothing would be trained; "
    "compute it with the model that it is given, and with gradients."
)


def differentiable(loss: torch.Tensor) -> torch.Tensor:
    """Return the loss; one without a gradient is an error."""
    if not loss.requires_grad:
        raise NothingTrainedError(_UNTRAINED)
    return loss


def _values(grad: torch.Tensor) -> torch.Tensor:
    """Return the values of a gradient, of a sparse one those that it has."""
    return grad.coalesce().values() if grad.is_sparse else grad


def check_trainable(parameters: Sequence[torch.Tensor], task: str, steps: int) -> None:
    """Raise where there are no parameters to train, or no steps to train them in."""
    if not any(each.requires_grad for each in parameters):
        raise NothingTrainedError(
            f"{task} has no parameter that requires a gradient, so nothing would "
            "be trained; give a model with one."
        )
    if steps < 1:
        raise NothingTrainedError(
            f"{task} has {steps} steps, so nothing would be trained; give 1 or more."
        )
