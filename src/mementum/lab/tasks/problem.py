"""What a run trains: its parameters, its batches in order, and how it is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch


class Problem(Protocol):
    """One training run in the making: parameters at their start, batches in order."""

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        ...

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step, steps counted from 0."""
        ...

    def evaluate(self) -> tuple[float, float]:
        """Return the training objective and the task's metric, both lower is better."""
        ...


class StackedProblem(Protocol):
    """Many runs of a task as one model: their parameters are rows of the same tensors.

    A row is to the bit what it is in any other stack.
    """

    problems: list[Problem]
    """The rows, each a problem whose parameters are views of the stack's."""

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss of every row on its batch of this step, [row]."""
        ...

    def backward(self, losses: torch.Tensor) -> None:
        """Fill the gradients of the rows."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        ...

    def hidden(self) -> str:
        """Return the digest of what all rows have in common, beside their tensors."""
        ...


@runtime_checkable
class Fed(Protocol):
    """A problem that says which batches it was given."""

    def first_batches(self) -> str:
        """Return the digest of the first batches that were trained on."""
        ...


class Stackable(Problem, Protocol):
    """A problem whose loss is a function of its parameters and of a batch.

    Stacked, it is computed by `torch.vmap` over parameters and batches. What else it
    reads is the same for every seed.
    """

    def batch_at(self, steps: int | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the batch of a step, or those of several, one after another."""
        ...

    def value(self, *batch: torch.Tensor) -> torch.Tensor:
        """Return the loss on a batch."""
        ...
