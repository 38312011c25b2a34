"""Tidy tables of a comparison: columns of equal length under their names.

`runs` has a row for each run, `curves` one for each point of a learning curve,
`verdicts` one for each contender on each task under each way of tuning, `scores` one
for each scored seed, `standings` one for each contender over all tasks. A table has
the same columns in every comparison, whatever came of it, and the numbers of the JSON
form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from mementum.lab.records.run import RunRecord
from mementum.lab.report.export.json_form import to_dict
from mementum.lab.statistics import Analysis

Frame: TypeAlias = dict[str, list[Any]]
_Row: TypeAlias = Mapping[str, Any]
_TEXT, _REAL, _WHOLE, _TRUTH = "VARCHAR", "DOUBLE", "BIGINT", "BOOLEAN"


def _columns(*kinds: tuple[str, str]) -> dict[str, str]:
    """Return columns with their SQL types, from names in a row and the type of all."""
    return {name: kind for names, kind in kinds for name in names.split()}


COLUMNS = {
    "runs": _columns(
        ("run task contender", _TEXT),
        ("lr", _REAL),
        ("seed steps", _WHOLE),
        ("options status", _TEXT),
        ("score seconds optimizer_seconds", _REAL),
        ("parameters", _WHOLE),
        ("error", _TEXT),
    ),
    "curves": _columns(("run", _TEXT), ("step", _WHOLE), ("train validation", _REAL)),
    "verdicts": _columns(
        ("arm task contender verdict unit", _TEXT),
        ("effect interval_95_low interval_95_high", _REAL),
        ("verdict_interval_low verdict_interval_high p p_holm detectable", _REAL),
        ("improvement wilcoxon score", _REAL),
        ("settings", _WHOLE),
        ("lr_at_edge", _TRUTH),
        ("width spikes microseconds_per_step", _REAL),
    ),
    "scores": _columns(
        ("arm task contender", _TEXT),
        ("seed", _WHOLE),
        ("lr score", _REAL),
        ("diverged", _TRUTH),
        ("steps_to_target", _WHOLE),
    ),
    "standings": _columns(
        ("contender", _TEXT),
        ("profile_area score score_these_tasks_low score_these_tasks_high", _REAL),
        ("score_tasks_like_these_low score_tasks_like_these_high rank", _REAL),
        ("rank_these_tasks_low rank_these_tasks_high", _REAL),
        ("rank_tasks_like_these_low rank_tasks_like_these_high", _REAL),
    ),
}
"""The columns of every table, with their SQL types."""


def frames(analysis: Analysis, records: Sequence[RunRecord]) -> dict[str, Frame]:
    """Return every table."""
    found = to_dict(analysis)
    arms = {"lr": found["tasks"]} | {
        each["name"]: each["tasks"] for each in found["arms"]
    }
    results = [
        {"arm": arm, "task": task["name"], **result}
        for arm, tasks in arms.items()
        for task in tasks
        for result in task["results"]
    ]
    rows: dict[str, list[_Row]] = {
        "runs": [_run(record) for record in records],
        "curves": [point for record in records for point in _points(record)],
        "verdicts": [
            _ends(_ends(each, "interval_95"), "verdict_interval") for each in results
        ],
        "scores": [seed for each in results for seed in _seeds(each)],
        "standings": [
            _estimate(_estimate(each, "score"), "rank")
            for each in found["across"]["standings"]
        ],
    }
    return {
        table: {name: [row[name] for row in rows[table]] for name in columns}
        for table, columns in COLUMNS.items()
    }


def _run(record: RunRecord) -> _Row:
    """Return what decides a run and how it ended."""
    spec = record.spec
    return vars(record) | {
        "run": spec.run_id,
        "task": spec.task_label,
        "contender": spec.contender_label,
        "lr": spec.lr,
        "seed": spec.seed,
        "steps": spec.steps,
        "options": json.dumps(spec.options, sort_keys=True),
        "status": record.status.value,
    }


def _points(record: RunRecord) -> Iterator[_Row]:
    """Return the points of a run's learning curve."""
    curve = record.curve
    for point in zip(curve.steps, curve.train, curve.validation, strict=True):
        step, train, validation = point
        yield {
            "run": record.spec.run_id,
            "step": step,
            "train": train,
            "validation": validation,
        }


def _seeds(result: _Row) -> Iterator[_Row]:
    """Return what each seed scored, at which rate, and when it reached the target."""
    reach = result["steps_to_target"] or {"seeds": (), "times": ()}
    times = dict(zip(reach["seeds"], reach["times"], strict=True))
    for seed in result["per_seed"]:
        yield {**result, **seed, "steps_to_target": times.get(seed["seed"])}


def _ends(row: _Row, name: str, new: str | None = None) -> _Row:
    """Return a row with the ends of an interval in columns of their own."""
    low, high = row[name] or (None, None)
    return {**row, f"{new or name}_low": low, f"{new or name}_high": high}


def _estimate(row: _Row, name: str) -> _Row:
    """Return a row with an estimate and the ends of its two intervals."""
    found: _Row = row[name]
    these = _ends(found, "these", f"{name}_these_tasks")
    return {
        **row,
        **_ends(these, "like_these", f"{name}_tasks_like_these"),
        name: found["value"],
    }
