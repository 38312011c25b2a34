"""A task of a model, a loss and data that a program has at hand."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from mementum.lab.arguments import Argument, ArgumentError, shown
from mementum.lab.errors import LabError
from mementum.lab.records.run import CPU
from mementum.lab.records.scale import turned
from mementum.lab.tasks.own.batches import (
    Batch,
    FirstBatches,
    anew,
    take_in,
    there,
)
from mementum.lab.tasks.own.model import initialise
from mementum.lab.tasks.own.stacked import stacked
from mementum.lab.tasks.task import Task, stream
from mementum.lab.user_code.chance import Chance, generators_of
from mementum.lab.user_code.session import Session

_NAME = "model-at-hand"
_CPU = torch.device(CPU)
_DIGESTED = 1000
"""Batches of the training data that the digest reads at most."""

Model = torch.nn.Module
Loss = Callable[[Model, Batch], torch.Tensor]
Metric = Callable[[Model, Batch], torch.Tensor | float]


@contextmanager
def untouched(model: object) -> Generator[None, None, None]:
    """Give the gradients of a program's model back as they were.

    A loss that closes over it, in the place of the copy it is given, would fill them.
    """
    if not isinstance(model, torch.nn.Module):
        yield
        return
    kept = [(each, each.grad) for each in model.parameters()]
    for each, _ in kept:
        each.grad = None
    try:
        yield
    finally:
        for each, grad in kept:
            each.grad = grad


@dataclass(frozen=True, kw_only=True)
class AtHand:
    """What a program has at hand, and how it is scored."""

    model: Model | Callable[[], Model]
    loss: Loss
    train: Iterable[Batch]
    held: Iterable[Batch]
    metric: Metric
    maximize: bool
    scale: Literal["log", "linear"]

    def words(self) -> tuple[str, str]:
        """Return a title, and what is scored, in the terms of the metric's own name."""
        name = getattr(self.metric, "__name__", "")
        name = name if name.isidentifier() else "metric"
        if not self.maximize:
            return "the model at hand", f"{name} on the held-out batches"
        sign = f"1 / {name}" if self.scale == "log" else f"minus {name}"
        return (
            f"the model at hand, for the highest {name}",
            f"{sign} on the held-out batches",
        )

    def parts(self) -> tuple[object, ...]:
        """Return everything that may draw."""
        return self.model, self.loss, self.train, self.held, self.metric

    def score(self, value: float) -> float:
        """Return the score of a value of the metric: lower is better.

        Errors: `LabError` if ratios of the metric are to be compared, and it has none.
        """
        return turned(value, self.scale) if self.maximize else value


class _ModelAtHand:
    """A copy of the model, and its batches one after the other.

    Whatever loaders, dropout and functions draw is a function of the seed and the step:
    every contender sees the same batches.
    """

    def __init__(self, seed: int, *, subject: AtHand, session: Session) -> None:
        self.subject, self.session = subject, session
        self.code: Sequence[object] = [subject.loss]
        self._base = int(stream(seed, "given").integers(2**62))
        self._train, self._held = anew(subject.train), anew(subject.held)
        with self._drawing(-2):
            self.model = _made(subject.model)
            initialise(self.model, self._of_first)
        self._batches: Iterator[Batch] = iter(())
        self._step, self._batch = -1, None
        self._first = FirstBatches()

    def _drawing(self, step: int) -> AbstractContextManager[None]:
        """Let what is drawn come from a stream of the seed."""
        return self.session.entered(self._base, step)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [each for each in self.model.parameters() if each.requires_grad]

    def first_batches(self) -> str:
        """Return the digest of the first batches that were trained on."""
        return self._first.digest()

    def _of_first(self) -> object:
        for batch in anew(self.subject.held):
            return self.subject.loss(self.model, self._there(batch))
        return None

    def _next(self) -> Batch:
        """Return the next batch; after the last comes the first of another round."""
        for _ in range(2):
            for batch in self._batches:
                return batch
            self._batches = iter(self._train)
        raise LabError("train holds no batch; give an iterable that can be repeated.")

    def _there(self, batch: Batch) -> Batch:
        """Return a batch where the model is: most loaders make theirs on the CPU."""
        places = {each.device for each in self.model.parameters()}
        if places == {_CPU} or len(places) != 1:
            return batch
        return there(batch, *places)

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step; steps come in their order.

        An optimizer may ask for a step's loss again, with the same dropout.
        """
        self.model.train()
        batch = self.batch_of(step)
        with self.drawing(step):
            return self.value(batch)

    def batch_of(self, step: int) -> Batch:
        """Return the batch of this step; steps come in their order."""
        if step != self._step:
            with self._drawing(2 * step):
                batch = self._next()
            self._first.see(step, batch)
            self._step, self._batch = step, self._there(batch)
        return self._batch

    def drawing(self, step: int) -> AbstractContextManager[None]:
        """Let what the loss of a step draws be a function of seed and step."""
        return self._drawing(2 * step + 1)

    def value(self, batch: Batch) -> torch.Tensor:
        """Return the loss of the model on a batch."""
        return self.subject.loss(self.model, batch)

    def evaluate(self) -> tuple[float, float]:
        """Return the mean loss over the held-out batches, and the score of the metric.

        The metric is averaged over the batches too.
        """
        self.model.eval()
        with self._drawing(-1):
            values = [
                (
                    float(self.subject.loss(self.model, batch)),
                    float(self.subject.metric(self.model, batch)),
                )
                for batch in map(self._there, self._held)
            ]
        if not values:
            raise LabError(
                "held holds no batch; give an iterable that can be repeated."
            )
        losses, metrics = zip(*values, strict=True)
        score = self.subject.score(sum(metrics) / len(metrics))
        return sum(losses) / len(losses), score


def _made(model: Model | Callable[[], object]) -> Model:
    """Return a copy of a model, or the one that a function makes."""
    made = copy.deepcopy(model) if isinstance(model, Model) else model()
    if not isinstance(made, Model):
        raise ArgumentError(
            Argument("model"), f" returned {shown(made)}; return a module."
        )
    return made


def at_hand(
    subject: AtHand, *, steps: int, evaluations: int, margin: float, kept: bool
) -> Task:
    """Return the task of training what is at hand.

    Only what is `kept` needs an identity, for which the data are read once.
    """
    title, metric = subject.words()
    session = Session(Chance(generators_of(*subject.parts())))
    return Task(
        name=_NAME,
        version=1,
        title=title,
        metric=metric,
        steps=steps,
        evaluations=min(evaluations, steps),
        deterministic=False,
        scale=subject.scale,
        margin=margin,
        seconds=1.0,
        start=(
            begin := functools.partial(_ModelAtHand, subject=subject, session=session)
        ),
        stack=functools.partial(stacked, begin),
        data=functools.cache(lambda: _digest(subject, session) if kept else ""),
        session=session.entered,
    )


def _digest(subject: AtHand, session: Session) -> str:
    """Return the sha256 of what is at hand, as far as it can be told.

    That is: the modules with their settings and the source of their classes, parameters
    and buffers at their start, the first thousand batches of `train`, all of `held`,
    and the source of loss and metric, but not of what any of them calls.
    """
    digest = hashlib.sha256()
    model = _ModelAtHand(0, subject=subject, session=session).model
    with session.entered():
        tensors = dict([*model.named_parameters(), *model.named_buffers()])
        train = itertools.islice(anew(subject.train), _DIGESTED)
        for part in (tensors, *train, "held", *anew(subject.held)):
            take_in(digest, part)
    for name, module in model.named_modules():
        digest.update(f"{name} {_settings(module)}".encode())
        digest.update(_source(type(module)))
    for function in (subject.loss, subject.metric):
        digest.update(_source(function))
    digest.update(f"{subject.maximize} {subject.scale}".encode())
    return digest.hexdigest()


def _settings(module: Model) -> dict[str, object]:
    """Return what a module is told beside its tensors: numbers, words, flags."""
    return {
        name: value
        for name, value in sorted(vars(module).items())
        if name != "training"
        and not name.startswith("_")
        and isinstance(value, bool | int | float | str | tuple | None)
    }


def _source(function: Callable[..., object]) -> bytes:
    """Return the source of a function or class; without one, its name."""
    try:
        return inspect.getsource(function).encode()
    except (OSError, TypeError):
        kind = getattr(function, "__qualname__", type(function).__qualname__)
        return kind.encode()
