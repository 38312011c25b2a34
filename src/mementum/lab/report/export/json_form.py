"""The JSON form of an analysis: plain data, stable keys, and no NaN or infinity.

    format            2; it grows when a key changes its meaning
    reference, contenders, screening, alpha, power, seconds
    widen, weight_decay
                      what was set: weight_decay is null where each has its own
    runs              {planned, done}: done counts finished and diverged runs
    versions          of mementum and torch
    environments      one object per distinct machine and set of versions
    tasks             [{name, family, title, metric, scale, margin, deterministic,
                        steps, data, parameters, seeds, design, noise, ranked, target,
                        untrained, best, results}]
      design            {pilot, looks, reach}: null where rates are cross-fitted
      noise             {spread, effect, equal}: the spread of a paired difference on
                        the scale, the seeds that see twice the margin, and those that
                        call equals equal
      results         [{contender, verdict, effect, unit, interval_95,
                        verdict_interval, verdict_level, p, p_holm, detectable,
                        more_seeds, look, exact, improvement, wilcoxon, pairs, score,
                        lrs, lr_at_edge, lr_in_sample, regret, settings, per_seed,
                        sensitivity, width, spikes, budget, steps_to_target,
                        microseconds_per_step, options, notes}]
    arms              [{name, tasks}]: "default", untuned, and "full", tuned in all
                      hyperparameters; `tasks` above has tuned learning rates
    across            {tasks, timed, scored, families, ratios, standings, without}
                      over all tasks
    controls          [{name, passed, words}]; passed is null where it was not made
    left_out          a sentence for each task whose data could not be had
    troubles          [{task, contender, lr, seed, kind, error}]; kind is "diverged",
                      "failed" or "missing"

Effects, intervals and detectable differences are contender minus reference, negative
better. With `unit` "ratio" they are relative changes of the metric (-0.1 is 10 % less);
with `unit` "difference" they are in the metric's own unit. A number that does not exist
is null.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mementum.lab.statistics.grid import effect, shown_score
from mementum.lab.statistics.sequential.noise import more_seeds

if TYPE_CHECKING:
    from mementum.lab.statistics.across_tasks import Across, Estimate
    from mementum.lab.statistics.analysis import Analysis
    from mementum.lab.statistics.pairs import Interval
    from mementum.lab.statistics.task_result import Result, TaskResult
    from mementum.lab.statistics.verdicts import Contrast

_FORMAT = 2
_ANALYSIS = "reference contenders screening alpha power seconds widen weight_decay"
_TASK = (
    "name family title metric scale margin deterministic steps data parameters seeds"
)
_ACROSS = "tasks timed scored families ratios"
_CONTRAST = (
    "effect interval_95 verdict_interval verdict_level p p_holm detectable more_seeds "
    "look exact improvement wilcoxon pairs"
)
_PAIRS = "only_contender_diverged only_reference_diverged both_diverged missing"


def to_dict(analysis: Analysis) -> dict[str, Any]:
    """The analysis as nested dictionaries, lists, strings, finite numbers and None."""
    return {
        "format": _FORMAT,
        **picked(analysis, _ANALYSIS),
        "runs": {"planned": analysis.runs_planned, "done": analysis.runs_done},
        "versions": dict(analysis.versions),
        "environments": [dict(each) for each in analysis.environments],
        "tasks": [_of_task(task) for task in analysis.tasks],
        "arms": [
            {"name": arm.name, "tasks": [_of_task(task) for task in arm.tasks]}
            for arm in analysis.arms
        ],
        "across": _of_across(analysis.across),
        "controls": [asdict(control) for control in analysis.controls],
        "left_out": list(analysis.left_out),
        "troubles": [asdict(trouble) for trouble in analysis.troubles],
    }


def picked(whole: object, names: str) -> dict[str, Any]:
    """These attributes under their names; tuples are lists."""
    return {name: _listed(getattr(whole, name)) for name in names.split()}


def _listed(value: Any) -> Any:
    """A value with lists for tuples."""
    return [*map(_listed, value)] if isinstance(value, tuple | list) else value


def _of_task(task: TaskResult) -> dict[str, Any]:
    """One task with its results."""
    return {
        **picked(task, _TASK),
        "design": None if task.design is None else asdict(task.design),
        "noise": None if task.noise is None else asdict(task.noise),
        **picked(task, "ranked target untrained best"),
        "results": [_of_result(result, task) for result in task.results],
    }


def _of_across(across: Across) -> dict[str, Any]:
    """All tasks together."""
    return {
        **picked(across, _ACROSS),
        "standings": [
            {
                "contender": standing.contender,
                "profile": list(standing.profile),
                "profile_area": standing.area,
                "score": of_estimate(standing.score),
                "rank": of_estimate(standing.rank),
            }
            for standing in across.standings
        ],
        "without": across.without,
    }


def of_estimate(estimate: Estimate | None) -> dict[str, Any]:
    """An estimate with its two intervals; every part null where there is none."""
    if estimate is None:
        return dict.fromkeys(("value", "these", "like_these"))
    these, like = estimate.these, estimate.like_these
    return {
        "value": estimate.value,
        "these": None if these is None else [these.low, these.high],
        "like_these": None if like is None else [like.low, like.high],
    }


def _of_result(result: Result, task: TaskResult) -> dict[str, Any]:
    """One contender on one task."""
    choice, scale, reach = result.choice, task.scale, result.reach
    return {
        "contender": result.contender,
        "verdict": result.verdict.value,
        "unit": "ratio" if scale == "log" else "difference",
        **of_contrast(result.contrast, scale),
        "score": result.score,
        "lrs": list(choice.lrs),
        "lr_at_edge": choice.edge,
        "lr_in_sample": choice.in_sample,
        "per_seed": [
            {
                "seed": scored.seed,
                "lr": scored.lr,
                "score": None if scored.diverged else shown_score(scored.value, scale),
                "diverged": scored.diverged,
            }
            for scored in choice.scored
        ],
        "regret": effect(result.regret, scale),
        **picked(result, "settings width spikes"),
        "budget": [shown_score(value, scale) for value in task.budget(result)],
        "steps_to_target": None
        if reach is None
        else {
            **picked(reach, "seeds times reached median"),
            "restricted_mean": reach.mean,
        },
        "sensitivity": [asdict(point) for point in result.sensitivity],
        "microseconds_per_step": result.microseconds_per_step,
        "options": dict(result.options),
        "notes": list(result.notes),
    }


def of_contrast(contrast: Contrast | None, scale: str) -> dict[str, Any]:
    """The comparison with the reference; every number null for the reference itself."""
    if contrast is None:
        return dict.fromkeys(_CONTRAST.split())
    pairs, decisive = contrast.pairs, contrast.verdict_interval
    return {
        "effect": effect(contrast.mean, scale),
        "interval_95": _bounds(contrast.interval, scale),
        "verdict_interval": _bounds(decisive, scale),
        "verdict_level": None if decisive is None else decisive.level,
        "p": contrast.p,
        "p_holm": contrast.p_holm,
        "detectable": effect(contrast.detectable, scale),
        "more_seeds": None
        if decisive is None or not contrast.look
        else more_seeds(contrast, decisive.level),
        "look": contrast.look,
        "exact": contrast.exact,
        "improvement": pairs.improvement,
        "wilcoxon": pairs.wilcoxon,
        "pairs": {
            "finite": len(pairs.differences),
            **picked(pairs, _PAIRS),
        },
    }


def _bounds(interval: Interval | None, scale: str) -> list[float | None] | None:
    """An interval as [low, high] in the unit of the effect."""
    if interval is None:
        return None
    return [effect(interval.low, scale), effect(interval.high, scale)]
