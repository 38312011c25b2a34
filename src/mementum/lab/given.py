"""Compares optimizers on a model, a loss and data that a program has at hand."""

from __future__ import annotations

import copy
import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mementum.lab.errors import LabError
from mementum.lab.planning import contender
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord, RunSpec
from mementum.lab.running import loop, run_state, versions
from mementum.lab.tasks.task import Task, possible_margin, stream

if TYPE_CHECKING:
    from mementum.lab.report import terminal
    from mementum.lab.statistics.analysis import Analysis

Model = torch.nn.Module
Batch = Any
Loss = Callable[[Model, Batch], torch.Tensor]
Metric = Callable[[Model, Batch], "torch.Tensor | float"]


@dataclass(frozen=True)
class Comparison:
    """What a comparison found, with all it rests on."""

    plan: Plan
    records: tuple[RunRecord, ...]
    analysis: Analysis

    def table(self) -> terminal.Summary:
        """Return the verdicts as a table that rich prints."""
        from mementum.lab.report import terminal

        return terminal.table(self.analysis)


class Given:
    """A copy of the model, and its batches one after the other.

    Loaders that shuffle draw from torch's global state, and so does dropout. The
    problem keeps a state of its own, seeded, and lends it to them: every contender sees
    the same batches, and the program's own state is left as it was.
    """

    def __init__(
        self,
        seed: int,
        *,
        model: Model | Callable[[], Model],
        loss: Loss,
        train: Iterable[Batch],
        held: Iterable[Batch],
        metric: Metric,
    ) -> None:
        self.loss_of, self.metric_of = loss, metric
        self.train, self.held = train, held
        first = int(stream(seed, "given").integers(2**62))
        self.state = torch.Generator().manual_seed(first).get_state()
        self.model = self.drawn(
            lambda: copy.deepcopy(model) if isinstance(model, Model) else model()
        )
        self.batches: Iterator[Batch] = iter(())

    def drawn(self, act: Callable[[], Any]) -> Any:
        """Return what the act returns, its random numbers from our own state."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.state)
            result = act()
            self.state = torch.get_rng_state()
        return result

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [each for each in self.model.parameters() if each.requires_grad]

    def next(self) -> Batch:
        """Return the next batch; after the last comes the first of another round."""
        for _ in range(2):
            for batch in self.batches:
                return batch
            self.batches = iter(self.train)
        raise LabError("train holds no batch; give an iterable that can be repeated.")

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the next batch; steps come in their order."""
        self.model.train()
        result: torch.Tensor = self.drawn(lambda: self.loss_of(self.model, self.next()))
        return result

    def evaluate(self) -> tuple[float, float]:
        """Return the means of loss and metric over the held-out batches."""
        self.model.eval()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            found = [
                (
                    float(self.loss_of(self.model, batch)),
                    float(self.metric_of(self.model, batch)),
                )
                for batch in self.held
            ]
        if not found:
            raise LabError(
                "held holds no batch; give an iterable that can be repeated."
            )
        losses, scores = zip(*found, strict=True)
        return sum(losses) / len(losses), sum(scores) / len(scores)


def compare(
    model: Model | Callable[[], Model],
    loss: Loss,
    train: Iterable[Batch],
    held: Iterable[Batch],
    *,
    metric: Metric | None = None,
    steps: int = 500,
    evaluations: int = 10,
    seeds: int = 4,
    lrs: int = 5,
    contenders: Sequence[str] | None = None,
    reference: str = "AdamW",
    scale: str = "log",
    margin: float = 0.01,
) -> Comparison:
    """Compare optimizers on this model, and return what was found.

    ``loss(model, batch)`` is trained on; ``metric(model, batch)``, lower is better, is
    the loss unless given, and scores the held-out batches. Every contender starts at
    the same parameters and sees the same batches. ``contenders`` are names of the lab,
    all unless given; the reference always takes part. Errors of the model's own are
    raised as they are.
    """
    counts = {"steps": steps, "evaluations": evaluations, "seeds": seeds, "lrs": lrs}
    possible(scale, margin, counts)
    start = functools.partial(
        Given, model=model, loss=loss, train=train, held=held, metric=metric or loss
    )
    task = at_hand(start, steps, min(evaluations, steps), scale, margin)
    return compared(task, contenders, reference, seeds=seeds, lrs=lrs)


def possible(scale: str, margin: float, counts: Mapping[str, int]) -> None:
    """Raise for the first argument that cannot be."""
    if scale not in ("log", "linear"):
        raise LabError(f'scale is {scale!r}; give "log" or "linear".')
    if not possible_margin(margin):
        raise LabError(f"margin is {margin!r}; give a number, 0 or more.")
    for name, value in counts.items():
        if value < 1:
            raise LabError(f"{name} is {value}; give 1 or more.")


def at_hand(
    start: Callable[[int], Given],
    steps: int,
    evaluations: int,
    scale: str,
    margin: float,
) -> Task:
    """Return the task of training what is at hand."""
    return Task(
        name="given",
        version=1,
        title="the model at hand",
        metric="metric on the held-out batches",
        steps=steps,
        evaluations=evaluations,
        deterministic=False,
        scale="log" if scale == "log" else "linear",
        margin=margin,
        seconds=1.0,
        start=start,
        data=hashlib.sha256(b"given").hexdigest,
    )


def compared(
    task: Task,
    contenders: Sequence[str] | None,
    reference: str,
    *,
    seeds: int,
    lrs: int,
) -> Comparison:
    """Run the whole plan here, one run after the other, and analyse it."""
    from mementum.lab.cli.request import known_name
    from mementum.lab.statistics import analyse

    known = [each.name for each in contender.CONTENDERS]
    asked = known if contenders is None else [*contenders, reference]
    named = {known_name("contenders", name, known) for name in asked}
    plan = factorial(
        tasks=[task],
        contenders=[each for each in contender.CONTENDERS if each.name in named],
        seeds=range(seeds),
        grid=Grid(points=lrs),
        reference=known_name("reference", reference, known),
        versions=versions.versions(),
    )
    records = tuple(executed(spec, task) for spec in plan.specs())
    return Comparison(plan, records, analyse(records, plan))


def executed(spec: RunSpec, task: Task) -> RunRecord:
    """Return the record of a run in this process; errors are raised as they are."""
    began = time.perf_counter()
    run = run_state.Progress()
    loop.train(run, spec, task)
    return run.record(spec, time.perf_counter() - began)
