"""Comparisons on a model, a loss and data that a program has at hand."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

from mementum.lab import arguments
from mementum.lab.arguments import Argument, ArgumentError, Real, Whole
from mementum.lab.errors import LabError
from mementum.lab.experiment.comparison import (
    PAGE,
    Comparison,
    carried_out,
    reaching,
)
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.planning.schedule import SCHEDULES, under
from mementum.lab.planning.selection import Named, rivals
from mementum.lab.planning.tiers import SPENDING
from mementum.lab.records.journal import Store, StoreError
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import COSINE
from mementum.lab.running.driver import (
    telling,
)
from mementum.lab.running.executors.in_process import InProcessExecutor
from mementum.lab.running.rehearsal.trial import rehearse, rehearse_own
from mementum.lab.running.versions import versions
from mementum.lab.tasks.own.batches import Batch
from mementum.lab.tasks.own.model_at_hand import (
    AtHand,
    Loss,
    Metric,
    Model,
    at_hand,
    untouched,
)
from mementum.lab.tasks.task import Task, Tier

__all__ = ["compare_model"]


def compare_model(
    model: Model | Callable[[], Model],
    loss: Loss,
    train: Iterable[Batch],
    held: Iterable[Batch],
    *,
    metric: Metric | None = None,
    steps: Whole = 500,
    evaluations: Whole = 10,
    seeds: Whole | None = None,
    lrs: Whole = 5,
    contenders: Iterable[Named] | None = None,
    lr: Mapping[str, Real] | None = None,
    reference: Named = "AdamW",
    scale: Literal["log", "linear"] | None = None,
    goal: Literal["min", "max"] = "min",
    margin: Real = 0.01,
    schedule: str = COSINE,
    until: str | None = None,
    budget: str | Real | None = None,
    out: str | Path | None = None,
) -> Comparison:
    """Compare optimizers on a model at hand, and return what was found.

    Every contender starts at the same parameters and sees the same batches. All runs
    are in this process, and errors of the model's own are raised as they are.

    Args:
        model: A module, which is copied and left as it is, or a function that returns
            one: then every seed starts elsewhere.
        loss: ``loss(model, batch)`` is trained on.
        train: Batches, as often as they are gone through.
        held: Batches that are scored and never trained on.
        metric: ``metric(model, batch)`` scores a held-out batch; the loss if not given.
        steps: Of a run.
        evaluations: Points of the learning curve.
        seeds: How many fresh seeds judge everyone, looked at once; if not given, 8 are
            looked at, and more as `until` says.
        lrs: How many learning rates each grid has, an odd number.
        contenders: Names, or optimizers of your own, as for `plan`; all of the lab's
            if not given. The reference always takes part.
        lr: The centre of the grid of an optimizer of your own, by its name.
        reference: Whom to compare with.
        scale: "log" compares scores by their ratio, "linear" by their difference; if
            not given, a metric to be minimised by its ratio, another by difference.
        goal: "min" or "max": whether the metric is to be low or high. Scores are lower
            is better: one to be high has its sign turned, or its ratio.
        margin: Differences up to this are equivalent: a share of the score on the log
            scale, else units of the metric.
        schedule: Of the learning rate: "constant" or "cosine".
        until: "decided" goes on to 16, 32 and 64 seeds for contrasts that are open.
        budget: How long to go on at most, as "90s", "10m", or in seconds.
        out: A folder that keeps runs, plan and page; the same call goes on from there.
            It is refused where it holds runs of another model or data: others in their
            modules, settings or initial parameters, in the held-out or the first
            thousand training batches, or in the source of loss or metric. What these
            call is not looked at.

    Errors: `LabError`; `LookupError` as well for a name that is not known.
    """
    arguments.function("model", model, "give a module, or a function that returns one")
    for name, given in {
        "loss": loss,
        "metric": loss if metric is None else metric,
    }.items():
        arguments.function(name, given, "give a function of model and batch")
    for name, batches in {"train": train, "held": held}.items():
        arguments.repeatable(name, batches)
    if out is not None:
        out = arguments.folder("out", out)
    arguments.allowed("goal", goal, ("min", "max"))
    if scale is None:
        scale = "log" if goal == "min" else "linear"
    arguments.allowed("scale", scale, ("log", "linear"))
    if goal == "max" and metric is None:
        raise ArgumentError(
            Argument("goal"), " is 'max', and the loss is to be low; give a metric."
        )
    schedule = arguments.known_name("schedule", schedule, tuple(SCHEDULES), "schedule")
    subject = AtHand(
        model=model,
        loss=loss,
        train=train,
        held=held,
        metric=metric or loss,
        maximize=goal == "max",
        scale=scale,
    )
    task = at_hand(
        subject,
        steps=arguments.whole("steps", steps, most=arguments.STEPS),
        evaluations=arguments.whole("evaluations", evaluations, most=arguments.STEPS),
        margin=arguments.real("margin", margin),
        kept=out is not None,
    )
    who = rivals(contenders, reference, lr)
    count = (
        None if seeds is None else arguments.whole("seeds", seeds, most=arguments.SEEDS)
    )
    grid = Grid(points=arguments.odd("lrs", lrs))
    limit = None if budget is None else arguments.duration("budget", budget)
    with untouched(model):
        task = rehearse(task, who["contenders"])
        subjects = [under(task, schedule)]
        plan = factorial(
            tasks=subjects,
            **who,
            design=SPENDING[Tier.QUICK].design(grid.points, 0, count),
            grid=grid,
            versions=versions(),
        )
        if until is not None:
            plan = reaching(plan, until)
        plan = rehearse_own(plan, who["contenders"], [task])
        return _kept(plan, task, out, limit)


def _kept(plan: Plan, task: Task, out: Path | None, budget: float | None) -> Comparison:
    """Carry out the plan of a model at hand; without a folder nothing is left."""
    with ExitStack() as stack:
        if out is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            folder = out
        store = Store(folder)
        with suppress(StoreError):
            if any(spec.data != task.data() for spec in store.read_plan().specs()):
                raise ArgumentError(
                    Argument("out"),
                    f" is {folder}, which holds runs of another model, loss, metric "
                    "or data, or scored otherwise; name another folder.",
                )
        executor = InProcessExecutor(task)
        found = carried_out(plan, store, executor, telling(None), budget)
        if not executor.repeats():
            store.set_aside()
            raise LabError(
                "the first run, made again after the others, came to other losses, so "
                "something that model, loss, metric or data keep goes on from run to "
                "run, and contenders could not be compared. Let each run begin anew: "
                "make in model() what changes in a run."
            )
    if out is not None:
        found.report(folder / PAGE)
    return found
