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

    def specs(self) -> tuple[RunSpec, ...]:
        """Return every run of the plan."""
        return self.runs + self.trials

    def beyond(self, task: str, contender: str, *, low: bool, high: bool) -> Plan:
        """Return the plan with two more learning rates beyond an end of a grid."""
        own = [r for r in self.runs if r.labels == (task, contender)]
        lrs = sorted({spec.lr for spec in own})
        centre = self.centres.get(contender, lrs[len(lrs) // 2])
        place = lrs.index(centre)
        below = range(-place - 2, -place) if low else ()
        above = range(len(lrs) - place, len(lrs) - place + 2) if high else ()
        found = [rate(centre, self.factor, step) for step in (*below, *above)]
        pattern = [spec for spec in own if spec.lr == centre]
        fresh = tuple(replace(spec, lr=lr) for lr in found for spec in pattern)
        return replace(self, runs=self.runs + fresh)

    def in_forms(self, forms: Mapping[str, str]) -> Plan:
        """Return the plan with the runs of tasks, by their labels, in these forms."""
        runs, trials = (
            tuple(replace(r, form=forms.get(r.task_label, r.form)) for r in part)
            for part in (self.runs, self.trials)
        )
        return replace(self, runs=runs, trials=trials)

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
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the plan is incomplete: {error}") from error
        codec.check(plan, _PLAN)
        for task in plan.tasks:
            codec.check(task, _OUTLINE)
        for run in plan.specs():
            codec.check(run, SPEC)
        return plan


_PLAN = {
    "reference": codec.TEXT,
    "factor": codec.NUMBER,
    "widen": codec.WHOLE,
    "weight_decay": codec.NUMBER_OR_NONE,
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
