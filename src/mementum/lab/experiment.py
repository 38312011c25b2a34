"""The one way into the lab: plan a comparison, carry it out, read what was found.

    from mementum import lab

    if __name__ == "__main__":  # worker processes import the script again
        plan = lab.plan(tasks=["mlp-digits"], contenders=["AdamW", "AdaXW"], seeds=4)
        found = lab.compare(plan, "my-comparison")
        print(found.analysis.tasks[0].result("AdaXW").verdict)
        found.report("report.html")
        verdicts = pandas.DataFrame(found.frames()["verdicts"])

What an argument cannot be is a `LabError`, and a name that is not known a `LookupError`
as well. The command line is a thin layer of words over these functions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mementum.lab import arguments
from mementum.lab.arguments import Argument, ArgumentError, Real, Whole
from mementum.lab.claims.ledger import json_form
from mementum.lab.errors import LabError
from mementum.lab.planning.contender import Contender
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.planning.own.registry import check_reach
from mementum.lab.planning.schedule import SCHEDULES, under
from mementum.lab.planning.selection import Named, chosen_tasks, rivals
from mementum.lab.planning.tiers import SPENDING
from mementum.lab.records.journal import Store, StoreError, spare
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import CONSTANT, RunRecord
from mementum.lab.report.export.data_frames import Frame, frames
from mementum.lab.report.export.json_form import to_dict
from mementum.lab.running.driver import (
    Listener,
    Observer,
    of_plan,
    pursue,
    telling,
)
from mementum.lab.running.executors import Executor
from mementum.lab.running.executors.choice import choose, number
from mementum.lab.running.executors.in_process import InProcessExecutor
from mementum.lab.running.optimizer_controls import controls
from mementum.lab.running.rehearsal.process import rehearsed
from mementum.lab.running.rehearsal.trial import rehearse, rehearse_contender
from mementum.lab.running.versions import versions
from mementum.lab.statistics import Analysis, analyse
from mementum.lab.tasks.own import user_file
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

if TYPE_CHECKING:
    from mementum.lab.report.terminal import Summary

__all__ = ["Comparison", "compare", "compare_model", "plan", "read"]

PAGE = "report.html"
"""The page of a comparison, in its folder."""
PAGE_BEGINS = b"<!DOCTYPE html>"


@dataclass(frozen=True)
class Comparison:
    """A comparison and its results."""

    plan: Plan
    records: Sequence[RunRecord]

    @cached_property
    def analysis(self) -> Analysis:
        """Verdicts with all that they rest on, and the controls of the optimizers."""
        return replace(analyse(self.records, self.plan), checks=controls())

    def to_dict(self) -> dict[str, Any]:
        """Return the analysis as JSON-ready data: as `compare --json` prints it."""
        return to_dict(self.analysis)

    def frames(self) -> dict[str, Frame]:
        """Return tidy tables: columns by name, as any data frame library takes them."""
        return frames(self.analysis, self.records)

    def table(self) -> Summary:
        """Return the verdicts as a table that rich prints."""
        from mementum.lab.report import terminal

        return terminal.table(self.analysis)

    def report(self, path: str | Path, ledger: str | Path | None = None) -> None:
        """Write the page here, and figures and tables in a folder beside it.

        The page shows the verdicts of the ledger of claims in a folder, if it is given.
        """
        from mementum.lab.report import page
        from mementum.lab.report.export import files

        spare(arguments.folder("path", path), "path", like=PAGE_BEGINS)
        claims = None if ledger is None else json_form.read(Path(ledger))
        page.write(self.analysis, self.records, Path(path), claims)
        files.write(self.analysis, self.records, Path(path))


def plan(
    tasks: Iterable[str] | None = None,
    contenders: Iterable[Named] | None = None,
    *,
    lr: Mapping[str, Real] | None = None,
    files: Iterable[str | Path] | None = None,
    tier: str = Tier.QUICK,
    seeds: Whole | None = None,
    lrs: Whole | None = None,
    reference: Named = "AdamW",
    trials: Whole | None = None,
    widen: Whole | None = None,
    schedules: Iterable[str] | None = None,
    weight_decay: Real | None = None,
) -> Plan:
    """Return the plan of a comparison: every contender on every task, tuned alike.

    Names are taken in any case, and what is not given is as the tier has it.

    Args:
        tasks: Names, as `mementum tasks` lists them; all of the tier if neither they
            nor files are given.
        contenders: Names, or optimizers of your own: classes, dotted paths and files,
            as docs/contenders.md says; all of the lab's if not given. The reference
            always takes part.
        lr: The centre of the grid of an optimizer of your own, by its name.
        files: Python files with tasks of your own; docs/tasks.md says how.
        tier: How much to spend: "smoke", "quick", "standard" or "paper".
        seeds: How many seeds every setting is trained with.
        lrs: How many learning rates each grid has, an odd number.
        reference: Whom to compare with.
        trials: Settings of all hyperparameters that full tuning tries besides.
        widen: How often a grid may be widened whose end was chosen.
        schedules: Of the learning rate: "constant", "cosine", or both.
        weight_decay: Everyone's, decoupled but SGD's; as published if not given.

    Errors: `LabError`; `LookupError` as well for a name that is not known.
    """
    size = Tier(arguments.known_name("tier", tier, [*Tier], "tier"))
    usual = SPENDING[size]
    grid = Grid(
        points=arguments.odd("lrs", usual.rates if lrs is None else lrs),
        factor=usual.factor,
    )
    who = rivals(contenders, reference, lr)
    found = factorial(
        **who,
        seeds=range(
            _number("seeds", seeds, usual.seeds, least=1, most=arguments.SEEDS)
        ),
        grid=grid,
        versions=versions(),
        trials=_number("trials", trials, usual.trials),
        widen=_number("widen", widen, usual.widen),
        weight_decay=(
            None
            if weight_decay is None
            else arguments.real("weight_decay", weight_decay)
        ),
        # Last, as it runs the code of the files.
        tasks=(
            subjects := chosen_tasks(
                *(tasks, files, size, schedules),
                read=lambda paths: rehearsed(paths, who["contenders"]),
            )
        ),
    )
    _try_own(who["contenders"], subjects)
    return found


def _try_own(contenders: Sequence[Contender], tasks: Sequence[Task]) -> None:
    """Try each optimizer of the user's own on the task that costs least."""
    for each in contenders:
        if each.identity:
            rehearse_contender(min(tasks, key=lambda task: task.seconds), each)


def _number(
    name: str,
    value: Whole | None,
    usual: int,
    *,
    least: int = 0,
    most: int = arguments.MOST,
) -> int:
    if value is None:
        return usual
    return arguments.whole(name, value, least=least, most=most)


def compare(
    plan: Plan,
    folder: str | Path,
    *,
    workers: Whole | None = None,
    dask: str | None = None,
    widen: Whole | None = None,
    seen: Listener | None = None,
    observer: Observer | None = None,
) -> Comparison:
    """Carry out what is missing of a plan and return what was found.

    Every result is on disk in the folder before the next is waited for; called again
    with the same plan and folder, it goes on where it stopped.

    Args:
        plan: What to run.
        folder: Where results are kept and found again.
        workers: Processes at a time, one a core if not given; 0 runs everything in
            this process.
        dask: The address of the Dask cluster to run on, in the place of this machine.
        widen: How often a grid may be widened whose end was chosen; as often as the
            plan says, by its tier, if not given.
        seen: Called with the record of each run as it ends.
        observer: What accompanies the runs in the place of `seen`: the command line
            shows a display.

    Errors: `LabError` if the folder or the executor cannot be used.
    """
    if not isinstance(plan, Plan):
        raise ArgumentError(
            Argument("plan"), f" is {arguments.shown(plan)}; give what `plan` returns."
        )
    if widen is not None:
        plan = replace(plan, widen=arguments.whole("widen", widen, least=0))
    store = Store(arguments.folder("folder", folder))
    named = {task.name for task in plan.tasks} if dask is not None else set()
    files = [path for name, path in user_file.paths().items() if name in named]
    if dask is not None or number(workers):
        check_reach(plan.specs(), elsewhere=dask is not None)
    executor = choose(workers, dask, files)
    return _carried_out(plan, store, executor, observer or telling(seen))


def _carried_out(
    plan: Plan, store: Store, executor: Executor, observer: Observer
) -> Comparison:
    with store:
        with suppress(StoreError):
            if not store.read_plan().reference:
                raise LabError(
                    f"{store.folder} holds claims; choose another folder for the "
                    "comparison."
                )
        finished = pursue(plan, store, executor, observer)
    return Comparison(finished, of_plan(finished, store.records()))


def compare_model(
    model: Model | Callable[[], Model],
    loss: Loss,
    train: Iterable[Batch],
    held: Iterable[Batch],
    *,
    metric: Metric | None = None,
    steps: Whole = 500,
    evaluations: Whole = 10,
    seeds: Whole = 4,
    lrs: Whole = 5,
    contenders: Iterable[Named] | None = None,
    lr: Mapping[str, Real] | None = None,
    reference: Named = "AdamW",
    scale: Literal["log", "linear"] | None = None,
    goal: Literal["min", "max"] = "min",
    margin: Real = 0.01,
    schedule: str = CONSTANT,
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
        seeds: How many seeds every setting is trained with.
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
    count = arguments.whole("seeds", seeds, most=arguments.SEEDS)
    grid = Grid(points=arguments.odd("lrs", lrs))
    with untouched(model):
        task = rehearse(task, who["contenders"])
        _try_own(who["contenders"], [task])
        subjects = [under(task, schedule)]
        plan = factorial(
            tasks=subjects,
            **who,
            seeds=range(count),
            grid=grid,
            versions=versions(),
        )
        return _kept(plan, task, out)


def _kept(plan: Plan, task: Task, out: Path | None) -> Comparison:
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
        found = _carried_out(plan, store, executor, telling(None))
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


def read(folder: str | Path) -> Comparison:
    """Return the comparison that is kept in a folder; `LabError` if there is none."""
    store = Store(arguments.folder("the folder", folder))
    plan = store.read_plan()
    if not plan.reference:
        raise LabError(
            f"{store.folder} holds claims, not a comparison. "
            f"`mementum reproduce all --out {store.folder}` shows them."
        )
    return Comparison(plan, of_plan(plan, store.records()))
