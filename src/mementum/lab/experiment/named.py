"""Comparisons on tasks that have names, or files: plan, carry out, read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mementum.lab import arguments
from mementum.lab.arguments import Argument, ArgumentError, Real, Whole
from mementum.lab.errors import LabError
from mementum.lab.experiment.comparison import Comparison, carried_out, reaching
from mementum.lab.planning import request
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.planning.own.registry import check_reach
from mementum.lab.planning.selection import Named, chosen_tasks, rivals
from mementum.lab.planning.tiers import SPENDING
from mementum.lab.records.journal import Store
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import CPU
from mementum.lab.running.driver import (
    Listener,
    Observer,
    of_plan,
    telling,
)
from mementum.lab.running.executors.choice import choose, number
from mementum.lab.running.rehearsal.process import rehearsed
from mementum.lab.running.rehearsal.trial import rehearse_own
from mementum.lab.running.stepping.device import Choice, chosen
from mementum.lab.running.versions import versions
from mementum.lab.tasks.own import user_file
from mementum.lab.tasks.task import Tier

__all__ = ["compare", "plan", "read"]


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
    device: str | None = None,
) -> Plan:
    """Return the plan of a comparison: every contender on every task, tuned alike.

    Names are taken in any case, and what is not given is as the tier has it.

    Args:
        tasks: Names, as `mementum tasks` lists them; all of the tier if neither they
            nor files are given.
        contenders: Names, or optimizers of your own: classes, dotted paths and files,
            as docs/lab/contenders.md says; all of the lab's if not given. The reference
            always takes part.
        lr: The centre of the grid of an optimizer of your own, by its name.
        files: Python files with tasks of your own; docs/lab/tasks.md says how.
        tier: How much to spend: "smoke", "quick", "standard" or "paper".
        seeds: How many fresh seeds judge everyone, looked at once; the tier's looks if
            not given.
        lrs: How many learning rates each grid has, an odd number.
        reference: Whom to compare with.
        trials: Settings of all hyperparameters that full tuning tries besides.
        widen: How often a grid may be widened whose end was chosen.
        schedules: Of the learning rate: "constant", "cosine", or both.
        weight_decay: Everyone's, decoupled but SGD's; as published if not given.
        device: "cpu", "cuda", "xpu", "mps", or "auto" for the accelerator that torch
            offers; if not given the CPU, and for a file's task where its model is made.
            The kind is part of the plan and of each run, as sums have other last digits
            on another kind of device. Which of several cards is no part of it:
            `compare` is told, where the runs are carried out.

    Errors: `LabError`; `LookupError` as well for a name that is not known.
    """
    spent = request.effort(
        tier=tier,
        seeds=seeds,
        lrs=lrs,
        trials=trials,
        widen=widen,
        weight_decay=weight_decay,
    )
    who = rivals(contenders, reference, lr)
    asked = None if device is None else chosen(device)
    # Last, as it runs the code of the files.
    subjects, left_out = chosen_tasks(
        *(tasks, files, spent.tier, schedules),
        read=lambda paths: rehearsed(paths, who["contenders"], asked),
        device=asked and asked.kind,
    )
    found = factorial(
        **who,
        tasks=subjects,
        design=spent.design(),
        grid=Grid(points=spent.rates, factor=SPENDING[spent.tier].factor),
        versions=versions(),
        trials=spent.trials,
        widen=spent.widen,
        weight_decay=spent.weight_decay,
    )
    found = replace(found, left_out=left_out)
    return rehearse_own(found, who["contenders"], subjects)


def compare(
    plan: Plan,
    folder: str | Path,
    *,
    workers: Whole | None = None,
    dask: str | None = None,
    device: str | None = None,
    widen: Whole | None = None,
    until: str | None = None,
    budget: str | Real | None = None,
    seen: Listener | None = None,
    observer: Observer | None = None,
) -> Comparison:
    """Carry out what is missing of a plan and return what was found.

    Every result is on disk in the folder before the next is waited for; called again
    with the same plan and folder, it goes on where it stopped.

    Args:
        plan: What to run.
        folder: Where results are kept and found again.
        workers: Processes at a time, one a core if not given, or one a card where the
            plan is for an accelerator; 0 runs everything in this process.
        dask: The address of the Dask cluster to run on, in the place of this machine.
        device: Which card, as "cuda:1", where the plan is for an accelerator; all of
            its kind if not given. A result does not depend on it.
        widen: How often a grid may be widened whose end was chosen; as often as the
            plan says, by its tier, if not given.
        until: "decided" takes looks until every contrast is decided, or the last look
            of the plan is taken; as many as the tier takes if not given.
        budget: How long to go on at most, as "90s", "10m", "1.5h", or in seconds. What
            is not over by then is left for the next call.
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
    if until is not None:
        plan = reaching(plan, until)
    limit = None if budget is None else arguments.duration("budget", budget)
    store = Store(arguments.folder("folder", folder))
    named = {task.name for task in plan.tasks} if dask is not None else set()
    files = [path for name, path in user_file.paths().items() if name in named]
    if dask is not None or number(workers):
        check_reach(plan.specs(), elsewhere=dask is not None)
    executor = choose(workers, dask, files, _of_plan(plan, device))
    return carried_out(plan, store, executor, observer or telling(seen), limit)


def _of_plan(plan: Plan, device: str | None) -> Choice:
    """Return the device that the plan's runs are for, and which card is meant."""
    kinds = {spec.device for spec in plan.specs()}
    usual = Choice(next(iter(kinds - {CPU}), CPU))
    asked = usual if device is None else chosen(device)
    if asked.kind != usual.kind:
        raise ArgumentError(
            Argument("device"),
            f" is {device}, and the plan is for {usual.kind}; give plan() the same "
            "device.",
        )
    return asked


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
