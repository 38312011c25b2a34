"""Stacks of models of the user's own: `torch.vmap` around the very loss that is given.

What it cannot take (an `if` on a value, `nn.LSTM`) raises; the rehearsal finds that
out, and such a task is trained run by run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import torch
from torch.func import functional_call
from torch.utils import _pytree as pytree

from mementum.lab.errors import LabError
from mementum.lab.tasks.own.batches import Batch
from mementum.lab.tasks.problem import Problem
from mementum.lab.tasks.stacks import Stack, others, value
from mementum.lab.user_code.hidden_state import HiddenState
from mementum.lab.user_code.session import Session

_PLAIN = bool | int | float | str | None


class Drawing(Problem, Protocol):
    """A problem of the user's: a model, and batches that are drawn one by one."""

    model: torch.nn.Module
    session: Session
    code: Sequence[object]
    """What its loss may keep something in, beside the model."""

    def batch_of(self, step: int) -> Batch:
        """Return the batch of this step; steps come in their order."""
        ...

    def drawing(self, step: int) -> AbstractContextManager[None]:
        """Let what the loss of a step draws be a function of seed and step."""
        ...

    def value(self, batch: Batch) -> torch.Tensor:
        """Return the loss of the model on a batch."""
        ...


def stacked(begin: Callable[[int], Drawing], seeds: Sequence[int]) -> Stack:
    """Return the stack of these seeds, a row each."""
    made = {seed: begin(seed) for seed in dict.fromkeys(seeds)}
    rows = [made[seed] for seed in seeds]
    return Stack(rows, _Losses(rows))


class _Flat(NamedTuple):
    """A batch as a list of tensors, and what makes it of such a list."""

    tensors: list[torch.Tensor]
    constants: list[Any]
    shape: Any

    @classmethod
    def of(cls, batch: Batch) -> _Flat:
        """Return a batch taken apart.

        Errors: `LabError` for a part that may hold tensors, which would be no row's.
        """
        parts, shape = pytree.tree_flatten(batch)
        constants = [
            None if isinstance(each, torch.Tensor) else (each,) for each in parts
        ]
        for each in constants:
            if each and not isinstance(each[0], _PLAIN):
                raise LabError(
                    f"a batch holds a {type(each[0]).__name__}, which cannot be "
                    "stacked; give tensors, numbers, words, and lists or dicts of them."
                )
        tensors = [each for each in parts if isinstance(each, torch.Tensor)]
        return cls(tensors, constants, shape)

    def alike(self, other: _Flat) -> bool:
        """Return whether another batch differs in the values of its tensors alone."""
        same = [(each.shape, each.dtype) for each in self.tensors]
        return (
            same == [(each.shape, each.dtype) for each in other.tensors]
            and self.constants == other.constants
            and self.shape == other.shape
        )

    def batch(self, tensors: Sequence[torch.Tensor]) -> Batch:
        """Return the batch with these tensors."""
        left = iter(tensors)
        parts = [next(left) if each is None else each[0] for each in self.constants]
        return pytree.tree_unflatten(parts, self.shape)


class _Whole(torch.nn.Module):
    """The loss of a problem as a module, so that its tensors can be others."""

    def __init__(self, problem: Drawing) -> None:
        super().__init__()
        self.model = problem.model
        self._value = problem.value

    def forward(self, batch: Batch) -> torch.Tensor:
        return self._value(batch)


class _Losses:
    """The losses of rows, by seed where they draw, and else all at once.

    The rows of a seed have one mask of dropout, the one that a single run has, whatever
    else is in the stack.
    """

    def __init__(self, rows: Sequence[Drawing]) -> None:
        self._rows = rows
        first = rows[0]
        self._whole = _Whole(first)
        known = {
            id(tensor): name
            for name, tensor in itertools.chain(
                self._whole.named_parameters(), self._whole.named_buffers()
            )
        }
        inside = [*first.parameters(), *others(first)]
        self._names = [known[id(each)] for each in inside]
        self._draws: bool | None = None
        """Whether the loss draws from torch's global state; None before the first."""

    def __call__(self, step: int, stack: Stack) -> torch.Tensor:
        """Return the loss of every row on its batch of this step."""
        self._whole.train()
        rows = [self._rows[place] for place in stack.places]
        groups = [[*each] for _, each in itertools.groupby(rows, key=id)]
        drawn = [_Flat.of(group[0].batch_of(step)) for group in groups]
        counts = torch.tensor([*map(len, groups)])
        if self._draws is False and all(map(drawn[0].alike, drawn)):
            index = torch.arange(len(groups)).repeat_interleave(counts)
            parts = zip(*(each.tensors for each in drawn), strict=True)
            batch = [torch.stack(part)[index] for part in parts]
            with groups[0][0].drawing(step):
                return self._value(stack, slice(None), drawn[0], batch)
        found, end = list[torch.Tensor](), 0
        for group, flat in zip(groups, drawn, strict=True):
            begin, end = end, end + len(group)
            batch = [
                each.expand(len(group), *each.shape).contiguous()
                for each in flat.tensors
            ]
            with group[0].drawing(step), self._watched(group[0].session):
                found.append(self._value(stack, slice(begin, end), flat, batch))
        return torch.cat(found)

    def hidden(self) -> str:
        """Return the digest of what model and loss keep beside the model's tensors."""
        model, code = self._whole.model, self._rows[0].code
        return HiddenState([*model.parameters(), *model.buffers()]).of(model, *code)

    def _value(
        self, stack: Stack, rows: slice, flat: _Flat, batch: list[torch.Tensor]
    ) -> torch.Tensor:
        """Return the losses of some rows."""

        def one(
            leaves: Sequence[torch.Tensor],
            buffers: Sequence[torch.Tensor],
            tensors: Sequence[torch.Tensor],
        ) -> torch.Tensor:
            inside = dict(zip(self._names, [*leaves, *buffers], strict=True))
            given = dict(inside)
            loss: torch.Tensor = functional_call(
                self._whole, given, (flat.batch(tensors),)
            )
            _check_in_place(inside, given)
            return loss

        return value(
            one,
            [each[rows] for each in stack.leaves],
            [each[rows] for each in stack.buffers],
            batch,
            randomness="error" if self._draws is False else "same",
        )

    def _watched(self, session: Session) -> AbstractContextManager[None]:
        """Find out, at the first loss, what it draws from."""
        return _Watch(self, session)


class _Watch:
    """Sees which random states a loss moves."""

    def __init__(self, losses: _Losses, session: Session) -> None:
        self._losses, self._session = losses, session

    def __enter__(self) -> None:
        self._first = self._losses._draws is None
        if self._first:
            self._before = self._session.states()

    def __exit__(self, kind: object, *_: object) -> None:
        if not self._first or kind is not None:
            return
        (ours, theirs), (now, those) = self._before, self._session.states()
        self._losses._draws = ours != now
        if theirs != those:
            raise LabError(
                "the loss draws from a random state other than torch's global one, "
                "which the rows of a stack would have in common."
            )


def _check_in_place(
    inside: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]
) -> None:
    """Raise where a tensor was replaced, as the rows would not see it."""
    for name, tensor in inside.items():
        if after[name] is not tensor:
            raise LabError(f"{name} is replaced in a step, and not changed in place.")
