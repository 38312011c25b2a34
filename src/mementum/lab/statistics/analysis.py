"""Everything a comparison found: `analyse` builds it, reports read it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mementum.lab.statistics import budget
from mementum.lab.statistics.across import Across, summarise
from mementum.lab.statistics.choice import Choice, on_scale, scale_margin
from mementum.lab.statistics.contrast import Contrast, Verdict
from mementum.lab.statistics.control import Control, against_itself, heavy_tail
from mementum.lab.statistics.plain import plain
from mementum.lab.statistics.survival import Reach

SCREENING = 10
"""Below this many seeds a verdict suggests; it does not establish."""


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The scores at one learning rate over all seeds, in the task's metric.

    `mean` is the geometric mean on the logarithmic scale; `low` and `high` are the
    extremes. All three are None where no run is finite.
    """

    lr: float
    mean: float | None
    low: float | None
    high: float | None
    finite: int
    diverged: int
    missing: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """One contender on one task: its choice, its verdict, its cost.

    `contrast` is None for the reference itself. `score` is the mean (geometric on the
    logarithmic scale) of the scored runs in the task's metric. The cost is the median
    over finished runs of the time inside `optimizer.step()`.
    """

    contender: str
    options: Mapping[str, object]
    choice: Choice
    contrast: Contrast | None
    verdict: Verdict
    score: float | None
    sensitivity: tuple[Sensitivity, ...]
    microseconds_per_step: float | None
    notes: tuple[str, ...]
    reach: Reach | None = None
    """How fast the target was reached; None on a task without a target."""
    spikes: float | None = None
    """Times per run that the training objective rose by half above its minimum."""

    @property
    def settings(self) -> int:
        """How many settings it was tuned over: its budget."""
        return len(self.choice.grid.lrs)

    @property
    def width(self) -> float | None:
        """Decades of neighbouring rates that score within 5 % of the best."""
        return self.choice.grid.width(math.log(1.05))


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """One task with the results of every contender, in the order of the plan."""

    name: str
    title: str
    metric: str
    scale: str
    margin: float
    deterministic: bool
    steps: int
    data: str
    parameters: int | None
    seeds: tuple[int, ...]
    results: tuple[Result, ...]
    target: float | None
    start: Mapping[int, float]
    """The score before training on the task's scale, by seed."""
    family: str
    """Whose weight the task shares where tasks are put together."""
    untrained: float | None
    best: float | None

    @property
    def ends_on_scale(self) -> tuple[float, float] | None:
        """Where normalised scores are 0 and 1, on the task's scale.

        None where these are not frozen, or where training cannot improve the score.
        """
        if self.untrained is None or self.best is None:
            return None
        ends = on_scale(self.untrained, self.scale), on_scale(self.best, self.scale)
        return ends if ends[0] > ends[1] else None

    def budget(self, result: Result) -> tuple[float, ...]:
        """The expected score on the scale after tuning over 1, 2, ... settings."""
        return budget.curve(result.choice.grid, self.start)

    @property
    def margin_on_scale(self) -> float:
        """The margin as a difference on the scale: log(1 + margin), or the margin."""
        return scale_margin(self.margin, self.scale)

    def result(self, contender: str) -> Result | None:
        """The result of this contender; None if it did not run on this task."""
        return next((r for r in self.results if r.contender == contender), None)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A run that diverged, failed, or has no record."""

    task: str
    contender: str
    lr: float
    seed: int
    kind: str
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Arm:
    """The comparison under another way of tuning, from the same records.

    "default" is every contender as published, untuned. "full" is every contender with
    the best of many settings of all its hyperparameters.
    """

    name: str
    tasks: tuple[TaskResult, ...]


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
    checks: tuple[Control, ...] = ()
    """Controls that need the optimizers themselves, carried out by who has them."""

    @cached_property
    def across(self) -> Across:
        """What holds over all tasks together."""
        return summarise(self.tasks, self.contenders, self.alpha)

    @cached_property
    def controls(self) -> tuple[Control, ...]:
        """What must come out as known, or nothing else here can be trusted."""
        return (*self.checks, against_itself(self.tasks), heavy_tail(self.tasks))

    @property
    def failed_controls(self) -> tuple[Control, ...]:
        """The controls that did not come out as known."""
        return tuple(control for control in self.controls if control.passed is False)

    @property
    def screening(self) -> bool:
        """Whether a task with chance in it has fewer than `SCREENING` seeds."""
        return any(
            len(task.seeds) < SCREENING for task in self.tasks if not task.deterministic
        )

    def to_dict(self) -> dict[str, Any]:
        """The analysis as JSON-ready data; `mementum.lab.statistics.plain` lists it."""
        return plain(self)
