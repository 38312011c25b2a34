"""Brings the records of several folders together in one."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mementum.lab.errors import LabError
from mementum.lab.records.journal import PLAN, Store, resolve
from mementum.lab.records.plan import Design, Outline, Plan
from mementum.lab.records.run import RunRecord, RunSpec, Status

_UNITED = "tasks", "runs", "trials", "centres", "step_costs", "left_out"
"""Fields of a plan that become one; plans agree on all others."""


class MergeError(LabError):
    """Folders that cannot become one; the message says why and what to do."""


@dataclass(frozen=True)
class _Merged:
    """What came of a merge."""

    taken: int
    """Records that the folder did not hold before."""
    runs: int
    """Runs that it holds now."""
    disputed: int
    """Runs whose results differ; see ``disputed``."""


def merge(sources: Sequence[Store], target: Store, *, pool: bool) -> _Merged:
    """Add the records and plans of the sources to the target.

    The order of the sources does not matter, nor does a folder given twice, nor a merge
    that was broken off and is done again. Results of different machines or versions
    stay apart unless ``pool`` is true.
    """
    for source in sources:
        if not source.exists():
            raise MergeError(
                f"{source.folder} is no folder of a comparison: it holds no results."
            )
    offered = [source.every() for source in sources]
    _agreed(sources, offered, target, pool=pool)
    with target:
        held, plan = _agreed(sources, offered, target, pool=pool)
        known = {record.to_json() for record in held}
        fresh = {
            line: record
            for records in offered
            for record in records
            if (line := record.to_json()) not in known
        }
        target.keep([fresh[line] for line in sorted(fresh)])
        if plan is not None:
            target.write_plan(plan)
    together = [*held, *fresh.values()]
    return _Merged(len(fresh), len(resolve(together)), disputed(together))


def _agreed(
    sources: Sequence[Store],
    offered: Sequence[Sequence[RunRecord]],
    target: Store,
    *,
    pool: bool,
) -> tuple[list[RunRecord], Plan | None]:
    """Return what the target holds and the plan of all; raise where they differ.

    This is asked before the target is opened as well: a refused merge leaves no folder.
    """
    held, stores = target.every(), [*sources, target]
    if not pool:
        _same_class([*offered, held], [store.folder for store in stores])
    plans = [each.read_plan() for each in stores if (each.folder / PLAN).exists()]
    return held, union(plans)


def _same_class(groups: Sequence[Sequence[RunRecord]], folders: Sequence[Path]) -> None:
    """Raise if the groups were not run by the same software on the same processor."""
    first: tuple[Path, set[str]] | None = None
    for folder, records in zip(folders, groups, strict=True):
        classes = {provenance(record) for record in records}
        if not classes:
            continue
        if first is None:
            first = folder, classes
        elif classes != first[1]:
            one, other = (
                min(first[1] - classes, default=""),
                min(classes - first[1], default=""),
            )
            raise MergeError(
                f"{first[0]} and {folder} were not run alike: {one or 'the same'} "
                f"there, {other or 'the same'} here. Results of different machines or "
                "versions may differ in the last digits; --pool merges them anyway."
            )


def provenance(record: RunRecord) -> str:
    """Return what a result may depend on beside its spec."""
    kept = {k: v for k, v in record.environment.items() if k != "platform"}
    return ", ".join(f"{name} {value}" for name, value in sorted(kept.items()))


def disputed(records: Iterable[RunRecord]) -> int:
    """Return how many runs have results that differ in more than their times."""
    results = {
        (record.spec.run_id, _timeless(record).to_json())
        for record in records
        if record.status is not Status.FAILED
    }
    counts = Counter(run_id for run_id, _ in results)
    return sum(count > 1 for count in counts.values())


def _timeless(record: RunRecord) -> RunRecord:
    """Return the record without what the clock and the machine put into it."""
    return replace(record, seconds=0.0, optimizer_seconds=0.0, environment={})


def union(plans: Sequence[Plan]) -> Plan | None:
    """Return the plan of all runs of the plans, which must agree on the rest."""
    if not plans:
        return None
    first, *others = plans
    if all(other == first for other in others):
        return first
    _one_device(plans)
    tasks: dict[str, Outline] = {task.name: task for task in first.tasks}
    centres = dict(first.centres)
    for other in others:
        for field in dataclasses.fields(Plan):
            one, two = (_shown(each, field.name) for each in (first, other))
            if field.name not in _UNITED and one != two:
                raise MergeError(
                    f"the plans differ in their {field.name}: {one} and {two}. Only "
                    "comparisons that differ in nothing but their runs become one."
                )
        for task in other.tasks:
            known = tasks.setdefault(task.name, task)
            # What a run costs is measured where it runs: it describes no task.
            seconds = max(known.seconds, task.seconds)
            tasks[task.name] = replace(known, seconds=seconds)
            if tasks[task.name] != replace(task, seconds=seconds):
                raise MergeError(
                    f"the plans describe {task.name} differently. Repeat one of the "
                    "comparisons with the version that made the other."
                )
        for name, centre in other.centres.items():
            if centres.setdefault(name, centre) != centre:
                raise MergeError(
                    f"the plans have {name}'s grid around {centres[name]:g} and "
                    f"{centre:g}. Only comparisons with the same grids become one."
                )
    return replace(
        first,
        tasks=tuple(tasks[name] for name in sorted(tasks)),
        runs=_listed(plan.runs for plan in plans),
        trials=_listed(plan.trials for plan in plans),
        centres=dict(sorted(centres.items())),
        design=_furthest(plans),
        step_costs={k: v for plan in plans for k, v in plan.step_costs.items()},
        left_out=tuple(
            s for s in first.left_out if all(s in p.left_out for p in plans)
        ),
    )


def _shown(plan: Plan, name: str) -> object:
    """Return a field of a plan as it is to agree: how far looks went may differ."""
    if name == "design" and plan.design is not None:
        return plan.design.pilot, plan.design.looks
    return getattr(plan, name)


def _furthest(plans: Sequence[Plan]) -> Design | None:
    """Return the design of plans that agree on it, with the most looks taken."""
    designs = [plan.design for plan in plans if plan.design is not None]
    return max(designs, key=lambda each: (each.reach, each.afford), default=None)


def _one_device(plans: Sequence[Plan]) -> None:
    """Raise if runs of a task are for devices of two kinds: they are never pooled."""
    kinds: dict[str, str] = {}
    for spec in (spec for plan in plans for spec in plan.specs()):
        kind = kinds.setdefault(spec.task_label, spec.device)
        if kind != spec.device:
            raise MergeError(
                f"the plans train {spec.task_label} on {kind} and on {spec.device}, "
                "which are not compared; keep the folders apart."
            )


def _listed(lists: Iterable[Iterable[RunSpec]]) -> tuple[RunSpec, ...]:
    """Return every run of the lists once, in an order that does not depend on them."""
    found = {run.run_id: run for runs in lists for run in runs}
    return tuple(
        sorted(
            found.values(),
            key=lambda r: (*r.labels, r.lr, r.seed, r.run_id),
        )
    )
