"""The lab from Python: plan a comparison, carry it out, read what was found.

    from mementum import lab

    if __name__ == "__main__":  # worker processes import the script again
        plan = lab.plan(tasks=["mlp-digits"], contenders=["AdamW", "AdaXW"], seeds=4)
        found = lab.compare(plan, "my-comparison")
        print(found.analysis.tasks[0].result("AdaXW").verdict)
        found.report("report.html")
        verdicts = pandas.DataFrame(found.frames()["verdicts"])

A name that is not known is a LookupError, and what cannot be otherwise a LabError. The
command line is a thin layer over these functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mementum.lab.claims.ledger import json_form
from mementum.lab.cli.request import tier as tier_named
from mementum.lab.errors import LabError
from mementum.lab.planning import contender
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.planning.schedule import SCHEDULES, under
from mementum.lab.planning.tiers import SPENDING
from mementum.lab.planning.widen import grown
from mementum.lab.records.journal import Store, StoreError
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord
from mementum.lab.report.export.data_frames import Frame, frames
from mementum.lab.report.export.json_form import plain
from mementum.lab.running.driver import complete, missing, of_plan
from mementum.lab.running.executors import Executor
from mementum.lab.running.executors.in_process import Here
from mementum.lab.running.executors.local import LocalExecutor
from mementum.lab.running.optimizer_controls import controls
from mementum.lab.running.versions import versions
from mementum.lab.statistics import Analysis, analyse
from mementum.lab.tasks import registry
from mementum.lab.tasks.task import Task, Tier
from mementum.machine import cores


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
        return plain(self.analysis)

    def frames(self) -> dict[str, Frame]:
        """Return tidy tables: columns by name, as any data frame library takes them."""
        return frames(self.analysis, self.records)

    def report(self, path: str | Path, ledger: str | Path | None = None) -> None:
        """Write the page here, and figures and tables in a folder beside it.

        The page shows the verdicts of the ledger of claims in a folder, if it is given.
        """
        from mementum.lab.report import page
        from mementum.lab.report.export import files

        claims = None if ledger is None else json_form.read(Path(ledger))
        page.write(self.analysis, self.records, Path(path), claims)
        files.write(self.analysis, self.records, Path(path))


def plan(
    tasks: Iterable[str] | None = None,
    contenders: Iterable[str] | None = None,
    *,
    tier: str = "quick",
    seeds: int | None = None,
    rates: int | None = None,
    reference: str = "AdamW",
    trials: int | None = None,
    widen: int | None = None,
    schedules: Iterable[str] | None = None,
    weight_decay: float | None = None,
) -> Plan:
    """Return the plan of a comparison: every contender on every task, tuned alike.

    Args:
        tasks: Names, as `mementum tasks` lists them; all of the tier if not given.
        contenders: Names; all if not given. The reference always takes part.
        tier: How much to spend; it sets the sizes of tasks and what is not given.
        seeds: How many seeds every setting is trained with.
        rates: Learning rates on each grid, an odd number.
        reference: Whom to compare with.
        trials: Settings of all hyperparameters that full tuning tries besides.
        widen: How often a grid may be widened whose end was chosen.
        schedules: Of the learning rate: "constant", "cosine", or both.
        weight_decay: Everyone's, decoupled but SGD's; as published if not given.
    """
    size = tier_named("tier", tier)
    spending = SPENDING[size]
    return factorial(
        tasks=chosen_tasks(tasks, size, schedules),
        contenders=chosen_contenders(contenders, reference),
        seeds=range(number("seeds", seeds, spending.seeds, least=1)),
        grid=Grid(points=odd_rates(rates, spending.rates), factor=spending.factor),
        reference=reference,
        versions=versions(),
        trials=number("trials", trials, spending.trials),
        widen=number("widen", widen, spending.widen),
        weight_decay=possible_decay(weight_decay),
    )


def number(name: str, value: int | None, usual: int, *, least: int = 0) -> int:
    """Return a number that is possible, the usual one if none is given."""
    found = usual if value is None else value
    if not isinstance(found, int) or found < least:
        raise LabError(f"{name} is {found}; give a whole number, {least} or more.")
    return found


def several(name: str, values: Iterable[str]) -> list[str]:
    """Return the names of a list; a lone string would be taken for its letters."""
    if isinstance(values, str):
        raise LabError(f"{name} is {values!r}; give a list, such as [{values!r}].")
    return [*values]


def odd_rates(rates: int | None, usual: int) -> int:
    """Return how many learning rates a grid has."""
    found = number("rates", rates, usual, least=1)
    if found % 2 == 0:
        raise LabError(
            f"rates is {found}; give an odd number, for a grid has a middle."
        )
    return found


def possible_decay(weight_decay: float | None) -> float | None:
    """Return everyone's weight decay, if there is one for everyone."""
    if weight_decay is None or 0 <= weight_decay < math.inf:
        return weight_decay
    raise LabError(f"weight_decay is {weight_decay}; give a number, 0 or more.")


def chosen_contenders(
    names: Iterable[str] | None, reference: str
) -> list[contender.Contender]:
    """Return the named contenders in the lab's order, the reference among them."""
    usual = [each.name for each in contender.CONTENDERS]
    asked = usual if names is None else several("contenders", names)
    found = {contender.find(name).name for name in (*asked, reference)}
    everyone = (*contender.CONTENDERS, *contender.OTHERS)
    return [each for each in everyone if each.name in found]


def chosen_tasks(
    names: Iterable[str] | None, tier: Tier, schedules: Iterable[str] | None
) -> list[Task]:
    """Return the named tasks in the size of a tier, under each of the schedules."""
    found = list(registry.of_tier(tier)) if names is None else []
    for name in several("tasks", names or ()):
        sized = registry.find(name).at(tier)
        if sized is None:
            raise LookupError(f"{name} has no part in tier {tier}")
        found.append(sized)
    if not found:
        raise LabError("tasks is empty; give one name or more.")
    usual = SPENDING[tier].schedules
    asked = [*usual] if schedules is None else several("schedules", schedules)
    if not asked:
        raise LabError("schedules is empty; give one name or more.")
    if unknown := [name for name in asked if name not in SCHEDULES]:
        listed = ", ".join(SCHEDULES)
        raise LookupError(f"the lab knows no schedule {unknown[0]!r}, but {listed}")
    return [under(t, each) for t in found for each in SCHEDULES if each in asked]


def compare(
    plan: Plan,
    folder: str | Path,
    *,
    workers: int | None = None,
    widen: int | None = None,
    seen: Callable[[RunRecord], None] | None = None,
) -> Comparison:
    """Carry out what is missing of a plan and return what was found.

    Every result is on disk in the folder before the next is waited for; called again
    with the same plan and folder, it goes on where it stopped.

    Args:
        plan: What to run.
        folder: Where results are kept and found again.
        workers: Processes at a time, one a core if not given; 0 runs everything in
            this process.
        widen: How often a grid may be widened whose end was chosen; as often as the
            plan says, by its tier, if not given.
        seen: Called with the record of each run as it ends.

    Raises:
        LabError: The folder cannot be used; the message says why.
    """
    if widen is not None:
        plan = replace(plan, widen=number("widen", widen, 0))
    executor: Executor = Here()
    if workers != 0:
        executor = LocalExecutor(cores() if workers is None else workers)

    def carry(wider: Plan, store: Store) -> bool:
        left = missing(wider, of_plan(wider, store.records()))
        complete(left, store, executor, seen or nothing)
        return True

    store = Store(Path(folder))
    with store:
        pursue(plan, store, plan.widen, carry)
    return read(folder)


def nothing(record: RunRecord) -> None:
    """Tell nobody."""


def pursue(
    plan: Plan, store: Store, widen: int, carry: Callable[[Plan, Store], bool]
) -> Plan | None:
    """Carry out a plan, and what it grows to; None if that was stopped.

    The plan is kept in the store before its runs begin.
    """
    spare_claims(store)
    wider = grown(plan, store.records(), widen)
    while True:
        store.write_plan(wider)
        if not carry(wider, store):
            return None
        before, wider = wider, grown(plan, store.records(), widen)
        if wider == before:
            return wider


def spare_claims(store: Store) -> None:
    """Raise if the folder holds claims, whose plan would be lost."""
    with suppress(StoreError):
        if not store.read_plan().reference:
            raise LabError(
                f"{store.folder} holds claims; choose another folder for the "
                "comparison."
            )


def read(folder: str | Path) -> Comparison:
    """Return the comparison that is kept in a folder."""
    store = Store(Path(folder))
    plan = store.read_plan()
    return Comparison(plan, of_plan(plan, store.records()))
