"""Everything a comparison found: `analyse` builds it, reports read it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from mementum.lab.records.beginnings import Beginnings
from mementum.lab.records.plan import Design, Outline, Plan
from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.statistics.across_tasks import Across, summarise
from mementum.lab.statistics.alike import common_seed, question
from mementum.lab.statistics.choice import (
    Choice,
    Records,
    choose,
    empty_choice,
    grid,
    parameters,
    starts,
)
from mementum.lab.statistics.controls import Control, against_itself, heavy_tail
from mementum.lab.statistics.grid import scale_margin
from mementum.lab.statistics.sequential import looks, noise, pilot
from mementum.lab.statistics.task_result import Arm, TaskResult, Trouble, of_contender
from mementum.lab.statistics.verdicts import ALPHA, POWER, Contrast, compare

_SCREENING = 10
"""Below this many seeds a verdict suggests; it does not establish."""
_FEW = 8
"""The same where fresh seeds judge."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What a comparison found: verdicts first, then all that they rest on."""

    reference: str
    contenders: tuple[str, ...]
    tasks: tuple[TaskResult, ...]
    troubles: tuple[Trouble, ...]
    alpha: float
    power: float
    runs_planned: int
    runs_done: int
    versions: Mapping[str, str]
    environments: tuple[Mapping[str, str], ...]
    seconds: float
    widen: int = 0
    """How often a grid could be widened at most."""
    weight_decay: float | None = None
    """Everyone's weight decay; None where each has its published one."""
    arms: tuple[Arm, ...] = ()
    """The other ways of tuning; `tasks` has tuned learning rates."""
    matched: Mapping[str, str] = field(default_factory=dict)
    """The optimizer of each contender whose memory is matched to the run's length."""
    left_out: tuple[str, ...] = ()
    """A sentence for each task whose data could not be had."""
    checks: tuple[Control, ...] = ()
    """Controls that need the optimizers themselves, carried out by who has them."""

    @cached_property
    def across(self) -> Across:
        """What holds over all tasks together on which rates could be chosen."""
        tuned = [task for task in self.tasks if task.ranked]
        return summarise(tuned, self.contenders, self.alpha)

    @cached_property
    def controls(self) -> tuple[Control, ...]:
        """What must come out as known, or nothing else here can be trusted."""
        return (*self.checks, against_itself(self.tasks), heavy_tail(self.tasks))

    @property
    def tuned(self) -> bool:
        """Whether rates could be chosen on every task."""
        return bool(self.tasks) and all(task.tuned for task in self.tasks)

    @property
    def failed_controls(self) -> tuple[Control, ...]:
        """The controls that did not come out as known."""
        return tuple(control for control in self.controls if control.passed is False)

    @property
    def screening(self) -> bool:
        """Whether a task with chance in it has fewer than `_SCREENING` seeds."""
        return any(
            len(task.seeds) < (_FEW if task.design else _SCREENING)
            for task in self.tasks
            if not task.deterministic
        )


def analyse(records: Iterable[RunRecord], plan: Plan) -> Analysis:
    """Compare the contenders of a plan on the records that belong to it.

    Records of runs outside the plan are left out. Planned runs without a record count
    as missing, so an unfinished comparison can be analysed and says that it is one.
    Neither the order of the records nor that of the plan's runs matters, except that
    contenders are listed as the plan lists them.
    """
    specs = [*{spec.run_id: spec for spec in plan.specs()}.values()]
    planned = {spec.run_id for spec in specs}
    found = {r.spec.run_id: r for r in records if r.spec.run_id in planned}
    done = [r for r in found.values() if r.status is not Status.FAILED]
    beginnings = Beginnings()
    for record in done:
        beginnings.check(record)
    varied = {spec.run_id for spec in plan.trials}
    on_grid = [spec for spec in specs if spec.run_id not in varied]
    return Analysis(
        reference=plan.reference,
        contenders=tuple(dict.fromkeys(spec.contender_label for spec in specs)),
        tasks=_of_arm("lr", on_grid, found, plan),
        arms=tuple(
            Arm(name=name, tasks=_of_arm(name, own, found, _one_look(plan)))
            for name, own in _arms(plan, on_grid).items()
            if own
        ),
        troubles=tuple(trouble for spec in specs for trouble in _of_run(spec, found)),
        alpha=ALPHA,
        power=POWER,
        runs_planned=len(planned),
        runs_done=len(done),
        versions={k: v for spec in specs for k, v in spec.versions.items()},
        environments=_distinct(r.environment for r in found.values()),
        seconds=math.fsum(r.seconds for r in found.values()),
        widen=plan.widen,
        matched={s.contender_label: s.contender for s in specs if s.matched_memory},
        weight_decay=plan.weight_decay,
        left_out=plan.left_out,
    )


def _arms(plan: Plan, on_grid: Sequence[RunSpec]) -> dict[str, list[RunSpec]]:
    """The runs that the other ways of tuning choose from: none, and all there are."""
    published = [spec for spec in on_grid if spec.lr == _centre(plan, spec, on_grid)]
    tuned = {spec.labels for spec in plan.trials}
    among = [spec for spec in published if spec.labels in tuned]
    arms = {"default": published, "full": [*among, *plan.trials]}
    if plan.design is not None and len(published) < len(on_grid):
        # Published rates have the pilot's few seeds, unless it chose them.
        del arms["default"]
    return arms


def _one_look(plan: Plan) -> Plan:
    """The plan as the other ways of tuning go by it: with the first look alone."""
    if plan.design is None:
        return plan
    return replace(plan, design=replace(plan.design, looks=plan.design.looks[:1]))


def _centre(plan: Plan, spec: RunSpec, specs: Sequence[RunSpec]) -> float:
    """The published learning rate of a run's contender: the middle of an old grid."""
    if spec.contender_label in plan.centres:
        return plan.centres[spec.contender_label]
    lrs = sorted({each.lr for each in specs if each.labels == spec.labels})
    return lrs[len(lrs) // 2]


def _of_arm(
    arm: str, specs: Sequence[RunSpec], found: Records, plan: Plan
) -> tuple[TaskResult, ...]:
    """Every task, with what one way of tuning may choose from."""
    return tuple(
        _of_task(
            task,
            [spec for spec in specs if spec.task_label == task.name],
            found,
            plan,
            gridded=arm == "lr",
        )
        for task in plan.tasks
    )


def _of_task(
    task: Outline,
    specs: Sequence[RunSpec],
    found: Records,
    plan: Plan,
    *,
    gridded: bool,
) -> TaskResult:
    """Choose, compare and summarise on one task."""
    every = specs
    task, specs = _without_chance(task, specs, found)
    own = _by_contender(specs)
    design = None if task.deterministic else plan.design
    choices = _choices(own, found, task, plan, gridded=gridded)
    contrasts = _against(plan.reference, choices, task, design)
    shared = _common([each.grid.seeds for each in choices if each.grid.seeds])
    margin = scale_margin(task.margin, task.scale)
    card = None if task.deterministic else noise.card([*contrasts.values()], margin)
    return TaskResult(
        name=task.name,
        family=task.family or task.name,
        title=task.title,
        metric=task.metric,
        scale=task.scale,
        margin=task.margin,
        deterministic=task.deterministic,
        steps=task.steps,
        data=specs[0].data if specs else "",
        parameters=parameters(specs, found),
        seeds=shared,
        results=tuple(
            of_contender(
                own[each.contender],
                each,
                contrasts.get(each.contender),
                found,
                task,
                regret=_regret(each, design),
                step_costs=plan.step_costs.get(task.name, {}),
                shared=shared,
            )
            for each in choices
        ),
        target=task.target,
        untrained=task.untrained,
        best=task.best,
        schedule=task.schedule,
        start=starts(specs, found, task.scale),
        question=question(every, found, task),
        noise=card,
        design=design,
    )


def standing_contrasts(
    plan: Plan, task: Outline, specs: Sequence[RunSpec], found: Records
) -> tuple[Contrast, ...]:
    """The contrasts of a task on the records at hand."""
    task, specs = _without_chance(task, specs, found)
    choices = _choices(_by_contender(specs), found, task, plan, gridded=True)
    design = None if task.deterministic else plan.design
    return tuple(_against(plan.reference, choices, task, design).values())


def _without_chance(
    task: Outline, specs: Sequence[RunSpec], found: Records
) -> tuple[Outline, Sequence[RunSpec]]:
    """The task and its runs; one seed's where all seeds gave the same.

    Equal runs are no sample: their number says nothing of chance.
    """
    if task.deterministic or (seed := common_seed(specs, found)) is None:
        return task, specs
    one = [spec for spec in specs if spec.seed == seed]
    return replace(task, deterministic=True), one


def _choices(
    own: Mapping[str, Sequence[RunSpec]],
    found: Records,
    task: Outline,
    plan: Plan,
    *,
    gridded: bool,
) -> list[Choice]:
    """The choice of every contender: by a pilot, or by cross-fitting without one."""
    if plan.design is None or task.deterministic:
        return [
            choose(
                name,
                grid(runs, found, task.scale, plan.centres.get(name)),
                gridded=gridded,
            )
            for name, runs in own.items()
        ]
    return [
        pilot.judged(
            *(name, runs, found, task, plan.design),
            default=plan.centres.get(name),
            gridded=gridded,
        )
        for name, runs in own.items()
    ]


def _common(seeds: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The seeds that are in all of these."""
    shared = set(seeds[0]).intersection(*seeds[1:]) if seeds else set()
    return tuple(sorted(shared))


def _regret(choice: Choice, design: Design | None) -> float | None:
    """What the pilot's choice is expected to cost."""
    if design is None or choice.pilot is None or len(choice.lrs) != 1:
        return None
    return pilot.regret(design, choice.pilot, choice.lrs[0])


def _by_contender(specs: Sequence[RunSpec]) -> dict[str, list[RunSpec]]:
    """The runs of each contender, in the order of the plan."""
    found: dict[str, list[RunSpec]] = {}
    for spec in specs:
        found.setdefault(spec.contender_label, []).append(spec)
    return found


def _against(
    reference: str, choices: Sequence[Choice], task: Outline, design: Design | None
) -> dict[str, Contrast]:
    """Every other choice against the reference's, as one family of comparisons."""
    by_name = {choice.contender: choice for choice in choices}
    others = [choice for choice in choices if choice.contender != reference]
    first = by_name.get(reference) or empty_choice(reference)
    margin = scale_margin(task.margin, task.scale)
    if design is None:
        found = compare(others, first, margin=margin, deterministic=task.deterministic)
    else:
        found = looks.contrasts(others, first, design, margin=margin)
    return {contrast.contender: contrast for contrast in found}


def _of_run(spec: RunSpec, found: Records) -> tuple[Trouble, ...]:
    """What went wrong in one planned run: nothing, or one trouble."""
    record = found.get(spec.run_id)
    if record is not None and record.status is Status.FINISHED:
        return ()
    return (
        Trouble(
            task=spec.task_label,
            contender=spec.contender_label,
            lr=spec.lr,
            seed=spec.seed,
            kind="missing" if record is None else record.status.value,
            error=None if record is None else record.error,
        ),
    )


def _distinct(
    environments: Iterable[Mapping[str, str]],
) -> tuple[Mapping[str, str], ...]:
    """The different environments, in an order that depends on nothing but them."""
    return tuple(
        dict(items)
        for items in sorted({tuple(sorted(each.items())) for each in environments})
    )
