"""What a comparison found on one task: choices, verdicts and costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mementum.lab.records.plan import Design, Outline
from mementum.lab.records.run import CONSTANT, SINGLE, RunRecord, RunSpec, Status
from mementum.lab.records.scale import on_scale
from mementum.lab.statistics import budget
from mementum.lab.statistics.choice import Choice, Records, scored_records
from mementum.lab.statistics.grid import Grid, scale_margin, shown_score
from mementum.lab.statistics.remarks import of_choice
from mementum.lab.statistics.sequential.noise import Noise
from mementum.lab.statistics.target_times import Reach, first_crossing
from mementum.lab.statistics.verdicts import Contrast, Verdict

_NONE: Mapping[str, float] = MappingProxyType({})
FEWEST_RATES = 3
FEWEST_SEEDS = 4
"""Below these a comparison tries the machinery, and ranks nobody."""


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
    regret: float | None = None
    """How much worse than the best rate the pilot's choice is to be expected, on the
    task's scale; None without a pilot."""
    seconds: float | None = None
    """What one of the scored runs takes, the median."""

    @property
    def settings(self) -> int:
        """How many settings it was tuned over: its budget."""
        return len(self.choice.tried.lrs)

    @property
    def width(self) -> float | None:
        """Decades of neighbouring rates that score within 5 % of the best."""
        return self.choice.tried.width(math.log(1.05))


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
    """That every contender is scored on."""
    results: tuple[Result, ...]
    target: float | None
    start: Mapping[int, float]
    """The score before training on the task's scale, by seed."""
    family: str
    """Whose weight the task shares where tasks are put together."""
    untrained: float | None
    best: float | None
    schedule: str = CONSTANT
    question: str = ""
    """What the curves make doubtful about the task itself; empty where nothing."""
    noise: Noise | None = None
    """The noise card, from these runs; None on a task without chance or pairs."""
    design: Design | None = None
    """How its rates were chosen and its differences looked at, if in two stages."""

    @property
    def tuned(self) -> bool:
        """Whether rates could be chosen: at least three, on enough seeds.

        Below that nothing is ranked, counted or called tuned.
        """
        enough = self.deterministic or len(self.seeds) >= FEWEST_SEEDS
        return enough and all(r.settings >= FEWEST_RATES for r in self.results)

    @property
    def ranked(self) -> bool:
        """Whether it counts where tasks are put together: it is tuned, and can tell.

        It can where it sees twice its margin within 64 seeds, or where its differences
        are so large that half of them are decided.
        """
        if self.design is None or self.noise is None or self.noise.ranks:
            return self.tuned
        made = [r.verdict for r in self.results if r.contrast is not None]
        left = made.count(Verdict.INCONCLUSIVE)
        return self.tuned and 2 * left <= len(made)

    @property
    def most_seeds(self) -> int:
        """How many seeds the contender has that was run with the most."""
        return max((len(r.choice.scored) for r in self.results), default=0)

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
        if self.design is not None:
            return ()
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


def of_contender(
    specs: Sequence[RunSpec],
    choice: Choice,
    contrast: Contrast | None,
    found: Records,
    task: Outline,
    regret: float | None = None,
    step_costs: Mapping[str, float] = _NONE,
    shared: Collection[int] = (),
) -> Result:
    """Put together what there is to say of one contender on one task."""
    scale = task.scale
    scored = scored_records(specs, choice, found)
    if contrast is None:
        failed = choice.hopeless or (choice.scored and not choice.usable)
        verdict = Verdict.FAILED if failed else Verdict.REFERENCE
    else:
        verdict = contrast.verdict
    return Result(
        contender=choice.contender,
        options=specs[0].options,
        choice=choice,
        contrast=contrast,
        verdict=verdict,
        score=shown_score(_alike(choice, shared).mean, scale),
        sensitivity=tuple(
            _sensitivity(choice.tried, lr, scale) for lr in choice.tried.lrs
        ),
        microseconds_per_step=_cost(
            (found[s.run_id] for s in specs if s.run_id in found),
            step_costs.get(choice.contender),
        ),
        notes=of_choice(choice) if contrast is None else contrast.notes,
        reach=None if task.target is None else _reach(scored, task.target, task.steps),
        spikes=_spikes(scored),
        regret=regret,
        seconds=statistics.median(r.seconds for r in scored) if scored else None,
    )


def _alike(choice: Choice, shared: Collection[int]) -> Choice:
    """The choice on the seeds that all have, so that scores can be compared."""
    if choice.pilot is None or not shared:
        return choice
    return replace(choice, scored=tuple(s for s in choice.scored if s.seed in shared))


def _reach(records: Sequence[RunRecord], target: float, budget: int) -> Reach:
    """When the scored runs first reached the target."""
    times = tuple(first_crossing(record.curve, target) for record in records)
    seeds = tuple(record.spec.seed for record in records)
    return Reach(budget=budget, seeds=seeds, times=times)


def _spikes(records: Sequence[RunRecord]) -> float | None:
    """How often, per run, the training objective rose to 1.5 times its minimum."""
    if not records:
        return None
    counts = []
    for record in records:
        lowest, high, count = math.inf, False, 0
        for value in record.curve.train:
            count += not high and value > 1.5 * lowest > 0
            high = value > 1.5 * lowest > 0
            lowest = min(lowest, value)
        counts.append(count)
    return sum(counts) / len(counts)


def _sensitivity(grid: Grid, lr: float, scale: str) -> Sensitivity:
    """What all seeds score at one learning rate."""
    present = [
        grid.values[lr, seed] for seed in grid.seeds if (lr, seed) in grid.values
    ]
    finite = [value for value in present if math.isfinite(value)]
    mean = math.fsum(finite) / len(finite) if finite else None
    return Sensitivity(
        lr=lr,
        mean=shown_score(mean, scale),
        low=shown_score(min(finite, default=None), scale),
        high=shown_score(max(finite, default=None), scale),
        finite=len(finite),
        diverged=len(present) - len(finite),
        missing=len(grid.seeds) - len(present),
    )


def _cost(records: Iterable[RunRecord], measured: float | None) -> float | None:
    """Median microseconds inside `optimizer.step()` per step, over finished runs.

    A stack's times say nothing of that; the cost is what was measured apart.
    """
    if measured is not None:
        return 1e6 * measured
    costs = [
        1e6 * record.optimizer_seconds / record.spec.steps
        for record in records
        if record.status is Status.FINISHED and record.spec.form == SINGLE
    ]
    return statistics.median(costs) if costs else None
