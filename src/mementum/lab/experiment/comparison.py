"""A comparison and its results, and how one is carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mementum.lab import arguments
from mementum.lab.claims.ledger import json_form
from mementum.lab.errors import LabError
from mementum.lab.experiment import verdict_matrix
from mementum.lab.planning import request
from mementum.lab.planning.own import registry as contenders
from mementum.lab.planning.stages import grown
from mementum.lab.records.journal import Store, StoreError, spare
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import STACKED, RunRecord, RunSpec
from mementum.lab.report.export.data_frames import Frame, frames
from mementum.lab.report.export.json_form import to_dict
from mementum.lab.running.driver import (
    Observer,
    of_plan,
    pursue,
)
from mementum.lab.running.executors import Executor
from mementum.lab.running.loop.agreement import agreement
from mementum.lab.running.optimizer_controls import controls
from mementum.lab.running.rehearsal.step_costs import step_costs
from mementum.lab.statistics import Analysis, analyse
from mementum.lab.tasks import registry

if TYPE_CHECKING:
    from mementum.lab.report.terminal import Summary


__all__ = ["PAGE", "PAGE_BEGINS", "Comparison", "carried_out"]

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
        checks = (*controls(), agreement(self.plan))
        return replace(analyse(self.records, self.plan), checks=checks)

    def to_dict(self) -> dict[str, Any]:
        """Return the analysis as JSON-ready data: as `compare --json` prints it."""
        return to_dict(self.analysis)

    def frames(self) -> dict[str, Frame]:
        """Return tidy tables: columns by name, as any data frame library takes them."""
        return frames(self.analysis, self.records)

    def table(self, *, details: bool = False) -> Summary:
        """Return the finding and the verdicts as rich prints them, with all details."""
        from mementum.lab.report import terminal

        return terminal.table(self.analysis, details=details)

    def _repr_html_(self) -> str:
        """Return the matrix of verdicts for a notebook."""
        return verdict_matrix.html(self.analysis)

    def report(
        self,
        path: str | Path,
        ledger: str | Path | None = None,
        seen: Callable[[float], object] = lambda _: None,
    ) -> None:
        """Write the page here, and figures and tables in a folder beside it.

        The page shows the verdicts of the ledger of claims in a folder, if it is given.
        Meanwhile `seen` is told which share of the work is done.
        """
        from mementum.lab.report import page
        from mementum.lab.report.export import files

        spare(arguments.folder("path", path), "path", like=PAGE_BEGINS)
        claims = None if ledger is None else json_form.read(Path(ledger))
        place, records = Path(path), self.records
        drawings = page.write(
            self.analysis, records, place, claims, lambda share: seen(share / 2)
        )
        files.write(
            self.analysis, records, place, drawings, lambda share: seen((1 + share) / 2)
        )


def reaching(plan: Plan, until: str) -> Plan:
    """Return the plan with all of its looks to be taken, for "decided"."""
    request.until(until)
    if plan.design is None:
        return plan
    return replace(plan, design=replace(plan.design, reach=len(plan.design.looks)))


def carried_out(
    plan: Plan,
    store: Store,
    executor: Executor,
    observer: Observer,
    budget: float | None = None,
) -> Comparison:
    """Carry out what is missing of a plan in a store, and return what was found.

    With a budget in seconds, it ends with what is over by then.
    """
    with store:
        with suppress(StoreError):
            earlier = store.read_plan()
            if not earlier.reference:
                raise LabError(
                    f"{store.folder} holds claims; choose another folder for the "
                    "comparison."
                )
            _refuse_other_looks(plan, earlier, store)
            plan = plan.keeping_forms(earlier).keeping_costs(earlier)
        plan = _with_step_costs(plan)
        finished = pursue(plan, store, executor, observer, grown, budget)
    return Comparison(finished, of_plan(finished, store.records()))


def _refuse_other_looks(plan: Plan, earlier: Plan, store: Store) -> None:
    """Raise where seeds would be looked at again that were looked at otherwise."""
    one, two = earlier.design, plan.design
    if one is None or two is None or (one.pilot, one.looks) == (two.pilot, two.looks):
        return
    old, new = ({(*s.labels, s.steps) for s in each.runs} for each in (earlier, plan))
    if old & new:
        told = " and ".join(
            ", ".join(map(str, each.looks)) + " seeds" for each in (one, two)
        )
        raise LabError(
            f"{store.folder} holds a comparison of these contenders with other looks "
            f"or another pilot (at {told}); the same seeds looked at twice are wrong "
            "more often than the level says. Choose another folder."
        )


def _with_step_costs(plan: Plan) -> Plan:
    """Return the plan with what steps cost on the lab's stacked tasks.

    Those of files were measured in their rehearsal: no file is executed here.
    """
    found = {**plan.step_costs}
    lab = {task.name for task in registry.TASKS}
    stacked: dict[str, dict[str, RunSpec]] = {}
    for spec in plan.runs:
        if spec.form == STACKED and spec.task in lab and spec.task_label not in found:
            stacked.setdefault(spec.task_label, {})[spec.contender_label] = spec
    for label, specs in stacked.items():
        first = next(iter(specs.values()))
        task = registry.find(first.task, first.steps)
        found[label] = step_costs(
            task, [contenders.of(each) for each in specs.values()]
        )
    return replace(plan, step_costs=found)
