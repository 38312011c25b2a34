"""Widens a grid whose end was chosen, as the best learning rate may lie beyond it."""

from __future__ import annotations

from collections.abc import Iterable

from mementum.lab.records.plan import Plan
from mementum.lab.records.run import RunRecord
from mementum.lab.statistics.choice import choose, grid


def widened(plan: Plan, records: Iterable[RunRecord]) -> Plan:
    """Return the plan with two more rates at every end that a contender has chosen.

    The choice is the cross-fitted one on the records at hand, so the same records give
    the same plan, and a comparison that was interrupted goes on as it would have. The
    same plan is returned where every choice is inside its grid.
    """
    found = {record.spec.run_id: record for record in records}
    scales = {task.name: task.scale for task in plan.tasks}
    wider = plan
    for task, contender in dict.fromkeys(r.labels for r in plan.runs):
        own = [r for r in plan.runs if r.labels == (task, contender)]
        tried = grid(own, found, scales[task], plan.centres.get(contender))
        low, high = choose(contender, tried).edges
        if low or high:
            wider = wider.beyond(task, contender, low=low, high=high)
    return wider


def grown(plan: Plan, records: Iterable[RunRecord]) -> Plan:
    """Return the plan as wide as the records make it, in as many steps as it says.

    A plan grows once all its runs have a record.
    """
    found = list(records)
    ids = {record.spec.run_id for record in found}
    for _ in range(plan.widen):
        if any(spec.run_id not in ids for spec in plan.runs):
            break
        wider = widened(plan, found)
        if wider is plan:
            break
        plan = wider
    return plan
