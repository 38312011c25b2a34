"""Tidy tables of a comparison: columns of equal length under their names.

`runs` has a row for each run, `curves` one for each point of a learning curve,
`verdicts` one for each contender on each task under each way of tuning, `scores` one
for each scored seed, `standings` one for each contender over all tasks. A table has
the same columns in every comparison, whatever came of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from mementum.lab.records.run import RunRecord
from mementum.lab.report.export.json_form import of_contrast, of_estimate
from mementum.lab.statistics import Analysis, TaskResult
from mementum.lab.statistics.grid import shown_score

Frame: TypeAlias = dict[str, list[Any]]


class _RunRow(NamedTuple):
    """What decides a run and how it ended."""

    run: str
    task: str
    contender: str
    lr: float
    seed: int
    steps: int
    options: str
    status: str
    score: float | None
    seconds: float
    optimizer_seconds: float
    parameters: int
    error: str | None


class _CurveRow(NamedTuple):
    """A point of a run's learning curve."""

    run: str
    step: int
    train: float
    validation: float


class _VerdictRow(NamedTuple):
    """A verdict with its effect, as `mementum compare --json` gives it."""

    arm: str
    task: str
    contender: str
    verdict: str
    unit: str
    effect: float | None
    interval_95_low: float | None
    interval_95_high: float | None
    verdict_interval_low: float | None
    verdict_interval_high: float | None
    p: float | None
    p_holm: float | None
    detectable: float | None
    improvement: float | None
    wilcoxon: float | None
    score: float | None
    settings: int
    lr_at_edge: bool
    width: float | None
    spikes: float | None
    microseconds_per_step: float | None


class _ScoreRow(NamedTuple):
    """What a seed scored, at which rate, and when it reached the target."""

    arm: str
    task: str
    contender: str
    seed: int
    lr: float | None
    score: float | None
    diverged: bool
    steps_to_target: int | None


class _StandingRow(NamedTuple):
    """How a contender does over all tasks."""

    contender: str
    profile_area: float | None
    score: float | None
    score_these_tasks_low: float | None
    score_these_tasks_high: float | None
    score_tasks_like_these_low: float | None
    score_tasks_like_these_high: float | None
    rank: float | None
    rank_these_tasks_low: float | None
    rank_these_tasks_high: float | None
    rank_tasks_like_these_low: float | None
    rank_tasks_like_these_high: float | None


_Row: TypeAlias = _RunRow | _CurveRow | _VerdictRow | _ScoreRow | _StandingRow
ROWS: dict[str, type[_Row]] = {
    "runs": _RunRow,
    "curves": _CurveRow,
    "verdicts": _VerdictRow,
    "scores": _ScoreRow,
    "standings": _StandingRow,
}


def frames(analysis: Analysis, records: Sequence[RunRecord]) -> dict[str, Frame]:
    """Return every table."""
    arms = {"lr": analysis.tasks, **{arm.name: arm.tasks for arm in analysis.arms}}
    rows: dict[str, Iterable[_Row]] = {
        "runs": map(_run_row, records),
        "curves": (row for record in records for row in _curve_rows(record)),
        "verdicts": (
            r for arm, tasks in arms.items() for r in _verdict_rows(arm, tasks)
        ),
        "scores": (
            row for arm, tasks in arms.items() for row in _score_rows(arm, tasks)
        ),
        "standings": _standing_rows(analysis),
    }
    return {name: _columns(ROWS[name], found) for name, found in rows.items()}


def _columns(kind: type[_Row], rows: Iterable[_Row]) -> Frame:
    """Return rows of a kind as columns; without a row they are empty."""
    kept = list(rows)
    return {name: [row[i] for row in kept] for i, name in enumerate(kind._fields)}


def _run_row(record: RunRecord) -> _RunRow:
    """Return the row of a run."""
    spec = record.spec
    return _RunRow(
        run=spec.run_id,
        task=spec.task_label,
        contender=spec.contender_label,
        lr=spec.lr,
        seed=spec.seed,
        steps=spec.steps,
        options=json.dumps(spec.options, sort_keys=True),
        status=record.status.value,
        score=record.score,
        seconds=record.seconds,
        optimizer_seconds=record.optimizer_seconds,
        parameters=record.parameters,
        error=record.error,
    )


def _curve_rows(record: RunRecord) -> Iterable[_CurveRow]:
    """Return the points of a run's learning curve."""
    curve = record.curve
    points = zip(curve.steps, curve.train, curve.validation, strict=True)
    return (_CurveRow(record.spec.run_id, *point) for point in points)


def _verdict_rows(arm: str, tasks: Iterable[TaskResult]) -> Iterable[_VerdictRow]:
    """Return the verdicts under one way of tuning."""
    for task in tasks:
        for result in task.results:
            numbers = of_contrast(result.contrast, task.scale)
            low, high = numbers["interval_95"] or (None, None)
            least, most = numbers["verdict_interval"] or (None, None)
            yield _VerdictRow(
                arm=arm,
                task=task.name,
                contender=result.contender,
                verdict=result.verdict.value,
                unit="ratio" if task.scale == "log" else "difference",
                effect=numbers["effect"],
                interval_95_low=low,
                interval_95_high=high,
                verdict_interval_low=least,
                verdict_interval_high=most,
                p=numbers["p"],
                p_holm=numbers["p_holm"],
                detectable=numbers["detectable"],
                improvement=numbers["improvement"],
                wilcoxon=numbers["wilcoxon"],
                score=result.score,
                settings=result.settings,
                lr_at_edge=result.choice.edge,
                width=result.width,
                spikes=result.spikes,
                microseconds_per_step=result.microseconds_per_step,
            )


def _score_rows(arm: str, tasks: Iterable[TaskResult]) -> Iterable[_ScoreRow]:
    """Return the scores of every seed under one way of tuning."""
    for task in tasks:
        for result in task.results:
            choice, reach = result.choice, result.reach
            times = dict(zip(reach.seeds, reach.times, strict=True)) if reach else {}
            for scored in choice.scored:
                finite = scored.value is not None and not scored.diverged
                yield _ScoreRow(
                    arm=arm,
                    task=task.name,
                    contender=result.contender,
                    seed=scored.seed,
                    lr=scored.lr,
                    score=shown_score(scored.value, task.scale) if finite else None,
                    diverged=scored.diverged,
                    steps_to_target=times.get(scored.seed),
                )


def _standing_rows(analysis: Analysis) -> Iterable[_StandingRow]:
    """Return the standings of all contenders."""
    for standing in analysis.across.standings:
        yield _StandingRow(
            standing.contender,
            standing.area,
            *_ends(of_estimate(standing.score)),
            *_ends(of_estimate(standing.rank)),
        )


_Ends: TypeAlias = tuple[
    float | None, float | None, float | None, float | None, float | None
]


def _ends(estimate: dict[str, Any]) -> _Ends:
    """Return an estimate with the ends of its two intervals."""
    these, like = (estimate[name] or (None, None) for name in ("these", "like_these"))
    return estimate["value"], these[0], these[1], like[0], like[1]
