"""Many runs of a task as one: their parameters are rows of the same tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from mementum.lab.tasks.problem import Problem, Stackable

_AHEAD = 16
"""Steps whose batches are drawn at a time, at most."""
_BYTES = 2**23
"""What the batches that are drawn at a time may take."""


class Losses(Protocol):
    """What comes to the losses of a stack's rows."""

    def hidden(self) -> str:
        """Return the digest of what they keep of a step, beside the rows' tensors."""
        ...

    def __call__(self, step: int, stack: Stack) -> torch.Tensor:
        """Return the loss of every row on its batch of this step."""
        ...


class Stack:
    """The parameters of many runs as stacked leaves, [row, ...].

    `problems` are the rows, each a problem by itself: its parameters and buffers are
    views of the leaves. So whatever steps or evaluates a single run does so with a row.
    """

    def __init__(self, problems: Sequence[Problem], losses: Losses) -> None:
        """Each problem begins a row; one that begins several is copied for each."""
        leaves = [problem.parameters() for problem in problems]
        buffers = [others(problem) for problem in problems]
        self.problems: list[Problem] = [
            _row(problem, own) for problem, own in zip(problems, leaves, strict=True)
        ]
        self._losses = losses
        self.places = [*range(len(problems))]
        """Which of the rows at the beginning are left."""
        self._lay(_stacked(leaves), _stacked(buffers))

    def _lay(self, leaves: list[torch.Tensor], buffers: list[torch.Tensor]) -> None:
        """Let these be the leaves, and the rows be views of them."""
        self.leaves = [leaf.requires_grad_() for leaf in leaves]
        self.grads = [torch.zeros_like(leaf) for leaf in leaves]
        self.buffers = buffers
        for place, problem in enumerate(self.problems):
            own = zip(problem.parameters(), self.leaves, self.grads, strict=True)
            for parameter, leaf, grad in own:
                parameter.data = leaf.detach()[place]
                parameter.grad = grad[place]
            for buffer, values in zip(others(problem), buffers, strict=True):
                buffer.data = values[place]

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss of every row on its batch of this step, [row]."""
        return self._losses(step, self)

    def backward(self, losses: torch.Tensor) -> None:
        """Fill the gradients of the rows.

        A parameter that a loss does not depend on has none, as in a single run: an
        optimizer leaves it alone then.
        """
        found: Sequence[torch.Tensor | None] = torch.autograd.grad(
            losses.sum(), self.leaves, allow_unused=True
        )
        for place, (grad, new) in enumerate(zip(self.grads, found, strict=True)):
            if new is not None:
                grad.copy_(new)
                continue
            for problem in self.problems:
                problem.parameters()[place].grad = None

    def hidden(self) -> str:
        """Return the digest of what all rows have in common, beside their tensors."""
        return self._losses.hidden()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        self.problems = [self.problems[row] for row in rows]
        self.places = [self.places[row] for row in rows]
        chosen = torch.tensor(rows)
        leaves = [leaf.detach()[chosen] for leaf in self.leaves]
        self._lay(leaves, [buffer[chosen] for buffer in self.buffers])


def value(
    function: Callable[..., torch.Tensor],
    leaves: Sequence[torch.Tensor],
    buffers: Sequence[torch.Tensor],
    batch: Sequence[torch.Tensor],
    *,
    randomness: str = "error",
) -> torch.Tensor:
    """Return a function's value for every row of stacked tensors.

    One row is computed twice: a batch of one matrix is multiplied otherwise than a
    batch of several, and a row is not to depend on its stack, to the bit.
    """
    rows = leaves, buffers, batch
    if len(leaves[0]) > 1:
        return torch.vmap(function, randomness=randomness)(*rows)
    twice = [[torch.cat([each, each]) for each in row] for row in rows]
    found = torch.vmap(function, randomness=randomness)(*twice)
    for buffer, changed in zip(buffers, twice[1], strict=True):
        buffer.copy_(changed[:1])
    return found[:1]


def stacked(
    start: Callable[..., Stackable], seeds: Sequence[int], *, steps: int
) -> Stack:
    """Return runs of one of the lab's tasks, a row for each seed that is named."""
    made = {seed: start(seed, steps=steps) for seed in dict.fromkeys(seeds)}
    losses = _Drawn([*made.values()], [[*made].index(seed) for seed in seeds], steps)
    return Stack([made[seed] for seed in seeds], losses)


class _Drawn:
    """The losses on batches that are drawn ahead, once for the rows of a seed."""

    def __init__(
        self, problems: Sequence[Stackable], places: Sequence[int], steps: int
    ) -> None:
        self._problems, self._steps = problems, steps
        self._places = torch.tensor(places)
        self._parameters = problems[0].parameters()
        self._begun, self._batches = 0, list[torch.Tensor]()

    def __call__(self, step: int, stack: Stack) -> torch.Tensor:
        """Return the loss of every row on its batch of this step."""
        ahead = step - self._begun
        if not self._batches or not 0 <= ahead < len(self._batches[0]):
            self._begun, ahead = step, 0
            self._batches = self._ahead(step)
        places = self._places[stack.places]
        batch = [part[ahead][places] for part in self._batches]
        return value(self._one, stack.leaves, [], batch)

    def hidden(self) -> str:
        """Return nothing: the lab's problems keep nothing of a step."""
        return ""

    def _ahead(self, step: int) -> list[torch.Tensor]:
        """Return the batches of the next steps, each [step, seed, ...]."""
        one = sum(part.nbytes for part in self._problems[0].batch_at(step))
        many = _BYTES // max(1, one * len(self._problems))
        end = min(self._steps, step + min(_AHEAD, max(1, many)))
        steps = torch.arange(step, end)
        drawn = [problem.batch_at(steps) for problem in self._problems]
        return [torch.stack(parts, dim=1) for parts in zip(*drawn, strict=True)]

    def _one(
        self,
        leaves: Sequence[torch.Tensor],
        buffers: Sequence[torch.Tensor],
        batch: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Return the loss of a row."""
        own = zip(map(id, self._parameters), leaves, strict=True)
        found: torch.Tensor = _with(self._problems[0], dict(own)).value(*batch)
        return found


def _stacked(rows: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
    """Return the tensors of rows as leaves, [row, ...]."""
    return [
        torch.stack([each.detach() for each in parts])
        for parts in zip(*rows, strict=True)
    ]


def others(problem: Problem) -> list[torch.Tensor]:
    """Return what a row has beside what is trained: buffers, and what is frozen."""
    model = getattr(problem, "model", None)
    if not isinstance(model, torch.nn.Module):
        return []
    trained = {id(each) for each in problem.parameters()}
    every = [*model.parameters(), *model.buffers()]
    return [each for each in every if id(each) not in trained]


def _row(problem: Problem, parameters: Sequence[torch.nn.Parameter]) -> Any:
    """Return a copy of a problem with parameters of its own; its data are shared."""
    fresh = {id(each): torch.nn.Parameter(each.detach().clone()) for each in parameters}
    return _with(problem, fresh)


def _with(problem: Any, parameters: Mapping[int, torch.Tensor]) -> Any:
    """Return a copy of a problem with others in the place of its parameters."""
    found = copy.copy(problem)
    model = vars(problem).get("model")
    if isinstance(model, torch.nn.Module):
        found.model = copy.deepcopy(model, {**parameters})
        return found
    for name, part in vars(problem).items():
        vars(found)[name] = _replaced(part, parameters)
    return found


def _replaced(part: Any, parameters: Mapping[int, torch.Tensor]) -> Any:
    """Return a part of a problem with others in the place of its parameters."""
    if isinstance(part, torch.nn.Parameter):
        return parameters.get(id(part), part)
    if isinstance(part, list | tuple):
        return type(part)(_replaced(each, parameters) for each in part)
    return _with(part, parameters) if hasattr(part, "parameters") else part
