"""The plan of a comparison as plain data, kept beside its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mementum.lab.records import codec
from mementum.lab.records.run import (
    CONSTANT,
    FORMAT,
    SINGLE,
    SPEC,
    FormatError,
    RunSpec,
    read_spec,
)

HALF_DECADE = 10**0.5


def rate(centre: float, factor: float, exponent: int) -> float:
    """Return the learning rate so many places off the centre, to three digits."""
    return float(f"{centre * factor**exponent:.3g}")


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What must be known of a task to analyse its runs and to foretell their cost."""

    name: str
    title: str
    metric: str
    steps: int
    deterministic: bool
    scale: str
    margin: float
    seconds: float
    target: float | None = None
    untrained: float | None = None
    best: float | None = None
    family: str = ""
    schedule: str = CONSTANT


@dataclass(frozen=True, kw_only=True)
class Design:
    """How rates are chosen, and how often differences are looked at.

    The pilot's seeds come first, and fresh ones judge: a rate is never scored on a seed
    that chose it.
    """

    pilot: tuple[tuple[int, int], ...]
    """The rungs: how many of the best rates go on, 0 for all, with how many seeds."""
    looks: tuple[int, ...]
    """After how many fresh seeds the differences are looked at."""
    reach: int = 1
    """How many of these looks are taken unless told otherwise."""
    afford: float = 0.0
    """Further looks are taken whose runs cost so many seconds at most, by task."""

    @property
    def first(self) -> int:
        """The first seed that judges."""
        return sum(seeds for _, seeds in self.pilot)

    def judging(self, look: int) -> range:
        """Return the seeds of the first so many looks."""
        return range(self.first, self.first + self.looks[look - 1])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A comparison as plain data: its tasks, its reference and all its runs.

    It is kept beside the records, so that they can be analysed on a machine that lacks
    the tasks, their data or this version of torch.
    """

    tasks: tuple[Outline, ...]
    reference: str
    """The contender all others are compared with."""
    runs: tuple[RunSpec, ...]
    """The runs on the grids of learning rates, all else as published."""
    trials: tuple[RunSpec, ...] = ()
    """The runs of full tuning, which vary the other hyperparameters too."""
    centres: Mapping[str, float] = field(default_factory=dict)
    """The published learning rate of each contender."""
    factor: float = HALF_DECADE
    """The ratio of neighbouring learning rates."""
    widen: int = 0
    """How often a grid may be widened whose end was chosen, unless told otherwise."""
    weight_decay: float | None = None
    """The weight decay of every contender; None where each has the published one."""
    design: Design | None = None
    """None where every rate has every seed, and each seed is scored at the rate that
    the others choose: older comparisons are so, and claims."""
    step_costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The median seconds of a contender's step in a single run, by the labels of tasks
    whose runs are stacked: their own times say nothing of it."""
    left_out: tuple[str, ...] = ()
    """A sentence for each task that was not chosen by name and whose data cannot be
    had: how to get them."""

    def specs(self) -> tuple[RunSpec, ...]:
        """Return every run of the plan."""
        return self.runs + self.trials

    def in_forms(self, forms: Mapping[str, str]) -> Plan:
        """Return the plan with the runs of tasks, by their labels, in these forms."""
        runs, trials = (
            tuple(replace(r, form=forms.get(r.task_label, r.form)) for r in part)
            for part in (self.runs, self.trials)
        )
        return replace(self, runs=runs, trials=trials)

    def keeping_costs(self, earlier: Plan) -> Plan:
        """Return the plan with the costs that an earlier one measured.

        They say which looks are taken, and are not to differ from one time to the next.
        """
        seconds = {task.name: task.seconds for task in earlier.tasks}
        tasks = (
            replace(task, seconds=seconds.get(task.name, task.seconds))
            for task in self.tasks
        )
        costs = {**self.step_costs, **earlier.step_costs}
        return replace(self, tasks=tuple(tasks), step_costs=costs)

    def keeping_forms(self, earlier: Plan) -> Plan:
        """Return the plan in the forms of one that its folder holds already.

        A rehearsal is a measurement, and may come out otherwise the next time. Where an
        optimizer came along that cannot step rows, its task stays single for all.
        """
        known = {spec.contender for spec in earlier.specs()}
        bound = {
            spec.task_label
            for spec in self.specs()
            if spec.form == SINGLE
            and spec.contender not in known
            and f"contender {spec.contender}" in spec.versions
        }
        forms = {spec.task_label: spec.form for spec in earlier.specs()}
        return self.in_forms(
            {task: form for task, form in forms.items() if task not in bound}
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Plan:
        """Return the plan that ``to_dict`` gave.

        Raises ``FormatError`` for another version of the form, and ``ValueError`` for
        data that is no plan.
        """
        version = plain.get("format")
        if version not in (1, FORMAT):
            raise FormatError(version)
        try:
            plan = cls(
                tasks=tuple(_read_outline(task, version) for task in plain["tasks"]),
                reference=plain["reference"],
                runs=tuple(read_spec(run, version) for run in plain["runs"]),
                trials=tuple(
                    read_spec(run, version) for run in plain.get("trials", ())
                ),
                centres=dict(plain.get("centres", {})),
                factor=plain.get("factor", HALF_DECADE),
                widen=plain.get("widen", 0),
                weight_decay=plain.get("weight_decay"),
                design=_read_design(plain.get("design")),
                step_costs=dict(plain.get("step_costs", {})),
                left_out=tuple(plain.get("left_out", ())),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the plan is incomplete: {error}") from error
        codec.check(plan, _PLAN)
        for task in plan.tasks:
            codec.check(task, _OUTLINE)
        for run in plan.specs():
            codec.check(run, SPEC)
        return plan


def _read_design(plain: Mapping[str, Any] | None) -> Design | None:
    """Return the design of a plan; one that cannot be is a ValueError."""
    if plain is None:
        return None
    design = Design(
        pilot=tuple((rates, seeds) for rates, seeds in plain["pilot"]),
        looks=tuple(plain["looks"]),
        reach=plain["reach"],
        afford=plain["afford"],
    )
    codec.check(
        design, {"looks": codec.WHOLES, "reach": codec.WHOLE, "afford": codec.NUMBER}
    )
    counts = all(codec.is_whole(n) and n >= 0 for rung in design.pilot for n in rung)
    rising = [0, *design.looks] == sorted({0, *design.looks})
    if not (counts and rising and 1 <= design.reach <= len(design.looks)):
        raise ValueError(f"no comparison has the design {plain}")
    return design


_PLAN = {
    "reference": codec.TEXT,
    "factor": codec.NUMBER,
    "widen": codec.WHOLE,
    "weight_decay": codec.NUMBER_OR_NONE,
    "step_costs": codec.Kind(
        lambda value: codec.table(
            lambda each: codec.table(codec.is_number, each), value
        ),
        "a table of tables of numbers",
    ),
    "left_out": codec.Kind(
        lambda value: codec.each(codec.is_text, value), "a list of texts"
    ),
    "centres": codec.Kind(
        lambda value: codec.table(codec.is_number, value), "a table of numbers"
    ),
}


_OUTLINE = {
    "name": codec.TEXT,
    "title": codec.TEXT,
    "metric": codec.TEXT,
    "steps": codec.WHOLE,
    "deterministic": codec.FLAG,
    "scale": codec.SCALE,
    "margin": codec.NUMBER,
    "seconds": codec.NUMBER,
    "target": codec.NUMBER_OR_NONE,
    "untrained": codec.NUMBER_OR_NONE,
    "best": codec.NUMBER_OR_NONE,
    "family": codec.TEXT,
    "schedule": codec.TEXT,
}


def _read_outline(plain: Mapping[str, Any], version: int) -> Outline:
    """Return the outline that was written in this version of the form."""
    outline = Outline(**plain)
    if version == 1 and outline.name.endswith("+cosine"):
        return replace(outline, schedule="cosine")
    return outline
