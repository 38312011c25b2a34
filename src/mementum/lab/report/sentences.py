"""Words of the tables that stand beside the verdicts: controls, times, standings."""

from __future__ import annotations

from mementum.lab.planning.names import TASKS
from mementum.lab.report import number_words, stage_words
from mementum.lab.report.number_words import listed
from mementum.lab.statistics import (
    Across,
    Analysis,
    Control,
    Interval,
    Reach,
    Result,
    TaskResult,
    Verdict,
)
from mementum.lab.statistics.target_times import difference

ARMS = {
    "lr": "learning rate tuned",
    "default": "as published, untuned",
    "full": "all hyperparameters tuned",
}
SIGNS = {
    Verdict.BETTER: "▲",
    Verdict.WORSE: "▼",
    Verdict.EQUIVALENT: "=",
    Verdict.INCONCLUSIVE: "?",
    Verdict.REFERENCE: "·",
    Verdict.FAILED: "✕",
}
"""Verdicts for the eye, beside the words."""
KINDS = {"these": "these tasks", "like_these": "tasks like these"}
"""What an interval over tasks is for."""
_NONE = "-"


def arm_words(name: str, analysis: Analysis) -> str:
    """What a way of tuning is called: nothing is tuned where rates cannot be chosen."""
    if name == "lr" and not analysis.tuned:
        return "at the learning rates tried"
    return ARMS[name]


def untuned_words(analysis: Analysis) -> str:
    """What so few rates or seeds allow; empty where there are enough."""
    if analysis.tuned or not analysis.tasks:
        return ""
    return (
        "Below three learning rates and four seeds nothing is ranked, counted or "
        "called tuned: such runs try the machinery."
    )


def alarm(analysis: Analysis) -> str:
    """What a report says first whose controls fail; empty where none does."""
    failed = analysis.failed_controls
    if not failed:
        return ""
    names = "; ".join(f"{control.name}: {control.words}" for control in failed)
    noun = "A control fails" if len(failed) == 1 else f"{len(failed)} controls fail"
    return f"{noun}: do not trust what follows. {names}."


def outcome(control: Control) -> str:
    """How a control came out, in a word or two."""
    if control.passed is None:
        return "not made"
    return "as known" if control.passed else "fails"


def number(value: float | None) -> str:
    """A number to sort by; empty where there is none."""
    return "" if value is None else repr(float(value))


def fixed(value: float | None, digits: int) -> str:
    """A number with so many decimals."""
    return _NONE if value is None else f"{value:.{digits}f}"


def ends(interval: Interval | None, digits: int) -> str:
    """An interval with so many decimals: "[1.20, 3.45]"."""
    if interval is None:
        return _NONE
    return f"[{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def low(interval: Interval | None) -> float | None:
    """The lower end of an interval, to sort by."""
    return None if interval is None else interval.low


def share_words(share: float | None) -> str:
    """A share in whole percent."""
    return _NONE if share is None else f"{100 * share:.0f} %"


def steps_words(steps: float | None) -> str:
    """A number of steps; a dash where most runs missed."""
    return _NONE if steps is None else f"{steps:,.0f}"


def places(across: Across, contender: str) -> str:
    """The best and the worst place with any other contender left out."""
    found = [
        order[contender] for order in across.without.values() if contender in order
    ]
    if not found:
        return _NONE
    return " to ".join(str(place) for place in dict.fromkeys((min(found), max(found))))


def diverged_share(result: Result) -> float | None:
    """The share of a contender's runs on a task that diverged."""
    diverged = sum(point.diverged for point in result.sensitivity)
    total = diverged + sum(point.finite for point in result.sensitivity)
    return diverged / total if total else None


def reached_words(reach: Reach) -> str:
    """How many runs reached the target: "3 of 4"; a dash where none has a result."""
    return f"{reach.reached} of {len(reach.times)}" if reach.times else _NONE


def gap(task: TaskResult, result: Result, analysis: Analysis) -> Interval | None:
    """The difference of restricted mean times from the reference's, if there is one."""
    other = task.result(analysis.reference)
    if other is None or other is result or not (result.reach and other.reach):
        return None
    return difference(result.reach, other.reach, analysis.alpha)


def gap_words(task: TaskResult, result: Result, analysis: Analysis) -> str:
    """The difference of restricted mean times: "[-120, -40]"; none of the reference."""
    if result.contender == analysis.reference:
        return ""
    interval = gap(task, result, analysis)
    return _NONE if interval is None else f"[{interval.low:,.0f}, {interval.high:,.0f}]"


def question(task: TaskResult) -> str:
    """What the curves make doubtful about a user's task; empty for the lab's own."""
    return "" if task.name.partition("+")[0] in TASKS else task.question


def card(result: Result, task: TaskResult, analysis: Analysis) -> list[str]:
    """What a cell of the matrix says besides its effect, a line each."""
    contrast, choice = result.contrast, result.choice
    found = []
    if contrast is not None and contrast.mean is not None:
        found.append(number_words.effect_words(contrast, task))
        if result.verdict is Verdict.INCONCLUSIVE and contrast.detectable is not None:
            size = number_words.size_words(contrast.detectable, task)
            found.append(f"detectable from {size}")
            found.append(stage_words.need(result, task, analysis.reference))
    if choice.lrs:
        at = f"lr {number_words.rate_words(result, ' to ')}"
        found.append(f"{at}, an end of its grid" if choice.edge else at)
    regret = stage_words.regret(result, task)
    found.append(f"regret {regret}" if regret not in ("", "none") else "")
    if choice.diverged:
        found.append(f"diverged on {choice.diverged} of {len(choice.scored)} seeds")
    return [line for line in found if line]


def kinship(analysis: Analysis) -> str:
    """What tasks of one family weigh."""
    kin = "; ".join(listed(names) for names in analysis.across.families)
    if not kin:
        return "Every task has the same weight."
    return (
        "Every family of tasks has the same weight, which its members share in ranks, "
        f"profiles, scores and resamples: {kin} are of one family"
        f"{' each' if len(analysis.across.families) > 1 else ''}, and every other task "
        "is one of its own."
    )
