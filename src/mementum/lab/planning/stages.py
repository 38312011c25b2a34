"""How a comparison goes on: what the runs at hand add to its plan.

First the pilot: every rate with one seed, two more rates where an end of the grid was
best, then the best rates with more seeds. Then the rate that the pilot chose, with
fresh seeds up to the first look; and so on for the contrasts that a look leaves open.
The same records give the same plan, so that what was interrupted goes on as it would
have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mementum.lab.records.plan import Design, Outline, Plan, rate
from mementum.lab.records.run import RunRecord, RunSpec
from mementum.lab.statistics.analysis import standing_contrasts
from mementum.lab.statistics.choice import grid
from mementum.lab.statistics.sequential import looks, pilot


def grown(plan: Plan, records: Iterable[RunRecord]) -> Plan:
    """Return the plan with what the records add to it.

    A plan without a design does not grow.
    """
    if plan.design is None:
        return plan
    found = {record.spec.run_id: record for record in records}
    points = _points(plan)
    while True:
        fresh = [*_added(plan, plan.design, found, points)]
        varied = [*_added_trials(plan, plan.design, found)]
        if not fresh and not varied:
            return plan
        runs, trials = (*plan.runs, *fresh), (*plan.trials, *varied)
        plan = replace(plan, runs=runs, trials=trials)


def _added(
    plan: Plan,
    design: Design,
    found: Mapping[str, RunRecord],
    points: Mapping[tuple[str, str], int],
) -> Iterator[RunSpec]:
    """Return the runs of the next step on every task, where its last one is over."""
    for task in plan.tasks:
        entries = _entries(plan, plan.runs, task, found, points)
        steps = [entry.next(design, plan.widen) for entry in entries]
        yield from (spec for step in steps for spec in step)
        if task.deterministic or any(steps):
            continue
        if all(entry.over(entry.specs) for entry in entries):
            yield from _judged(plan, design, task, entries)


def _judged(
    plan: Plan,
    design: Design,
    task: Outline,
    entries: Sequence[_Entry],
) -> Iterator[RunSpec]:
    """Return the runs of the next look for the reference and all that is open.

    Nobody has runs of a look before the pilots of all are over.
    """
    specs = [spec for entry in entries for spec in entry.specs]
    judged = standing_contrasts(plan, task, specs, entries[0].found)
    still = {each.contender for each in judged if looks.is_open(each)}
    if not still:
        return
    made = max(each.look for each in judged if each.contender in still)
    if made == len(design.looks):
        return
    seeds = design.judging(made + 1)
    runs = [
        spec
        for entry in entries
        if entry.name in still or entry.name == plan.reference
        for spec in entry.judging(design, seeds)
    ]
    if made < design.reach or len(runs) * task.seconds <= design.afford:
        yield from runs


def _added_trials(
    plan: Plan, design: Design, found: Mapping[str, RunRecord]
) -> Iterator[RunSpec]:
    """Return the runs of the next step of full tuning: a pilot, and the first look."""
    tuned = {spec.labels for spec in plan.trials}
    for task in plan.tasks:
        among = [
            spec
            for spec in plan.runs
            if spec.labels in tuned and spec.lr == plan.centres[spec.contender_label]
        ]
        entries = _entries(plan, [*among, *plan.trials], task, found)
        steps = [entry.next(design, 0) for entry in entries]
        known = {spec.run_id for spec in plan.trials}
        wanted = [spec for step in steps for spec in step]
        if not wanted and not task.deterministic:
            first = design.judging(1)
            wanted = [s for entry in entries for s in entry.judging(design, first)]
        yield from (spec for spec in wanted if spec.run_id not in known)


@dataclass(frozen=True)
class _Entry:
    """A contender on a task: its planned runs, and the records of all."""

    name: str
    task: Outline
    specs: Sequence[RunSpec]
    found: Mapping[str, RunRecord]
    centre: float | None
    factor: float
    points: int
    """How many rates its grid had before any was added."""

    def over(self, specs: Iterable[RunSpec]) -> bool:
        """Return whether all of these runs have a record."""
        return all(spec.run_id in self.found for spec in specs)

    def at(self, lr: float, seed: int) -> RunSpec:
        """Return the run at this rate with this seed."""
        own = next((s for s in self.specs if s.lr == lr), self.specs[0])
        return replace(own, lr=lr, seed=seed)

    def pilot(self, design: Design) -> pilot.Standing:
        """Return how far its pilot has come."""
        return pilot.standing(self.specs, self.found, self.task, design, self.centre)

    def next(self, design: Design, widen: int) -> list[RunSpec]:
        """Return the runs of its pilot that are not planned yet."""
        first = [s for s in self.specs if s.seed == 0]
        if not self.over(first) or not first:
            return []
        if beyond := self.beyond(first, widen):
            return beyond
        if self.task.deterministic:
            return []
        planned = {spec.run_id for spec in self.specs}
        needed = (self.at(lr, seed) for lr, seed in self.pilot(design).needed)
        return [spec for spec in needed if spec.run_id not in planned]

    def beyond(self, first: Sequence[RunSpec], widen: int) -> list[RunSpec]:
        """Return two more rates beyond the end that was best with the first seed."""
        most = self.points + 2 * widen
        if any(spec.seed for spec in self.specs) or not 2 <= len(first) < most:
            return []
        tried = grid(first, self.found, self.task.scale, self.centre)
        low, high = pilot.at_end(tried, (0,))
        below, above = tried.centre, len(tried.lrs) - 1 - tried.centre
        steps = [*range(-below - 2, -below)] if low else []
        steps += [*range(above + 1, above + 3)] if high else []
        centre = tried.lrs[tried.centre]
        return [self.at(rate(centre, self.factor, step), 0) for step in steps]

    def judging(self, design: Design, seeds: Iterable[int]) -> list[RunSpec]:
        """Return the runs with these seeds at the rate that its pilot chose."""
        lr = self.pilot(design).chosen
        if lr is None:
            return []
        planned = {spec.run_id for spec in self.specs}
        wanted = (self.at(lr, seed) for seed in seeds)
        return [spec for spec in wanted if spec.run_id not in planned]


def _entries(
    plan: Plan,
    specs: Sequence[RunSpec],
    task: Outline,
    found: Mapping[str, RunRecord],
    points: Mapping[tuple[str, str], int] = MappingProxyType({}),
) -> list[_Entry]:
    """Return the contenders on a task, in the order of the plan."""
    own: dict[str, list[RunSpec]] = {}
    for spec in specs:
        if spec.task_label == task.name:
            own.setdefault(spec.contender_label, []).append(spec)
    return [
        _Entry(
            *(name, task, runs, found, plan.centres.get(name), plan.factor),
            points=points.get((task.name, name), 0),
        )
        for name, runs in own.items()
    ]


def _points(plan: Plan) -> Counter[tuple[str, str]]:
    """Return how many rates each grid has."""
    return Counter(labels for labels, _ in {(s.labels, s.lr) for s in plan.runs})


def expected(plan: Plan) -> Counter[str]:
    """Return how many runs a plan comes to by task, looks taken by everyone.

    Widened grids add to it, and contrasts that are decided early take away.
    """
    design = plan.design
    known = Counter(spec.task_label for spec in plan.specs())
    if design is None:
        return known
    count = design.looks[design.reach - 1]
    for task in plan.tasks:
        if task.deterministic:
            continue
        for specs in (plan.runs, plan.trials):
            for entry in _entries(plan, specs, task, {}):
                rates = len({spec.lr for spec in entry.specs if not spec.seed})
                runs = pilot_runs(design, rates) + count
                known[task.name] += max(0, runs - len(entry.specs))
    return known


def pilot_runs(design: Design, rates: int) -> int:
    """Return how many runs the pilot of so many rates has."""
    if rates < 2:
        return 0
    return sum(seeds * min(keep or rates, rates) for keep, seeds in design.pilot)
