"""Tidy tables of a comparison: columns of equal length under their names.

`runs` has a row for each run, `curves` one for each point of a learning curve,
`verdicts` one for each contender on each task under each way of tuning, `scores` one
for each scored seed, `standings` one for each contender over all tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from mementum.lab.run import RunRecord
from mementum.lab.statistics import Analysis, TaskResult
from mementum.lab.statistics.plain import of_contrast, of_estimate, shown_score

Frame: TypeAlias = dict[str, list[Any]]


def frames(analysis: Analysis, records: Sequence[RunRecord]) -> dict[str, Frame]:
    """Return every table."""
    arms = {"lr": analysis.tasks, **{arm.name: arm.tasks for arm in analysis.arms}}
    return {
        "runs": columns(run_row(record) for record in records),
        "curves": columns(row for record in records for row in curve_rows(record)),
        "verdicts": columns(
            row for arm, tasks in arms.items() for row in verdict_rows(arm, tasks)
        ),
        "scores": columns(
            row for arm, tasks in arms.items() for row in score_rows(arm, tasks)
        ),
        "standings": columns(standing_rows(analysis)),
    }


def columns(rows: Iterable[Mapping[str, Any]]) -> Frame:
    """Return rows of the same keys as columns."""
    found: Frame = {}
    for row in rows:
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return found


def run_row(record: RunRecord) -> dict[str, Any]:
    """Return what decides a run and how it ended."""
    spec = record.spec
    return {
        "run": spec.run_id,
        "task": spec.task,
        "contender": spec.contender,
        "lr": spec.lr,
        "seed": spec.seed,
        "steps": spec.steps,
        "options": json.dumps(spec.options, sort_keys=True),
        "status": record.status.value,
        "score": record.score,
        "seconds": record.seconds,
        "optimizer_seconds": record.optimizer_seconds,
        "parameters": record.parameters,
        "error": record.error,
    }


def curve_rows(record: RunRecord) -> Iterable[dict[str, Any]]:
    """Return the points of a run's learning curve."""
    curve = record.curve
    for step, train, metric in zip(
        curve.steps, curve.train, curve.validation, strict=True
    ):
        yield {
            "run": record.spec.run_id,
            "step": step,
            "train": train,
            "validation": metric,
        }


def verdict_rows(arm: str, tasks: Iterable[TaskResult]) -> Iterable[dict[str, Any]]:
    """Return verdicts with their effects, as `mementum compare --json` gives them."""
    for task in tasks:
        for result in task.results:
            numbers = of_contrast(result.contrast, task.scale)
            yield {
                "arm": arm,
                "task": task.name,
                "contender": result.contender,
                "verdict": result.verdict.value,
                "unit": "ratio" if task.scale == "log" else "difference",
                "effect": numbers["effect"],
                **ends("interval_95", numbers["interval_95"]),
                **ends("verdict_interval", numbers["verdict_interval"]),
                "p": numbers["p"],
                "p_holm": numbers["p_holm"],
                "detectable": numbers["detectable"],
                "improvement": numbers["improvement"],
                "wilcoxon": numbers["wilcoxon"],
                "score": result.score,
                "settings": result.settings,
                "lr_at_edge": result.choice.edge,
                "width": result.width,
                "spikes": result.spikes,
                "microseconds_per_step": result.microseconds_per_step,
            }


def ends(name: str, bounds: Sequence[float | None] | None) -> dict[str, float | None]:
    """Return an interval as two columns."""
    low, high = bounds or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def score_rows(arm: str, tasks: Iterable[TaskResult]) -> Iterable[dict[str, Any]]:
    """Return what each seed scored, at which rate, and when it reached the target."""
    for task in tasks:
        for result in task.results:
            choice, reach = result.choice, result.reach
            times = dict(zip(reach.seeds, reach.times, strict=True)) if reach else {}
            for scored in choice.scored:
                finite = scored.value is not None and not scored.diverged
                yield {
                    "arm": arm,
                    "task": task.name,
                    "contender": result.contender,
                    "seed": scored.seed,
                    "lr": scored.lr,
                    "score": shown_score(scored.value, task.scale) if finite else None,
                    "diverged": scored.diverged,
                    "steps_to_target": times.get(scored.seed),
                }


def standing_rows(analysis: Analysis) -> Iterable[dict[str, Any]]:
    """Return how each contender does over all tasks."""
    for standing in analysis.across.standings:
        score, rank = of_estimate(standing.score), of_estimate(standing.rank)
        yield {
            "contender": standing.contender,
            "profile_area": standing.area,
            "score": score["value"],
            **ends("score_these_tasks", score["these"]),
            **ends("score_tasks_like_these", score["like_these"]),
            "rank": rank["value"],
            **ends("rank_these_tasks", rank["these"]),
            **ends("rank_tasks_like_these", rank["like_these"]),
        }
