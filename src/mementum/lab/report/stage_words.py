"""Words of two stages: what a pilot chose, what looks left open, what a task tells."""

from __future__ import annotations

from mementum.lab.planning.forecast import waiting
from mementum.lab.report.number_words import (
    count,
    duration,
    listed,
    size_words,
    whole_percent,
)
from mementum.lab.statistics import Analysis, Result, TaskResult, Verdict
from mementum.lab.statistics.sequential.noise import more_seeds
from mementum.machine import cores

_NOTHING = 5e-5


def seeds(task: TaskResult) -> str:
    """How many seeds there are, and whether they matter: "8 to 32 fresh seeds"."""
    if task.deterministic:
        return "deterministic"
    fewest = len(task.seeds)
    if task.design is None:
        return count(fewest, "seed")
    most = task.most_seeds
    if most <= fewest:
        return count(fewest, "fresh seed")
    return f"{fewest} to {most} fresh seeds"


def looks_taken(task: TaskResult) -> int:
    """How often differences were looked at where it was most often."""
    made = [r.contrast.look for r in task.results if r.contrast is not None]
    return max(made, default=0)


def need(result: Result, task: TaskResult, reference: str) -> str:
    """What would decide an open contrast: "needs about 23 more seeds, 4 min"."""
    contrast, design = result.contrast, task.design
    if design is None or contrast is None or contrast.verdict_interval is None:
        return ""
    more = more_seeds(contrast, contrast.verdict_interval.level)
    if more is None:
        return ""
    made = len(contrast.pairs.differences)
    text = f"needs about {count(more, 'more seed')}"
    if len(design.looks) == 1:
        return f"{text} than these {made}"
    seconds = _cost(task, result, reference)
    if seconds is None:
        return f"{text}, beyond its last look at {design.looks[-1]}"
    return f"{text}, {waiting(seconds)}" if seconds else text


def regret(result: Result, task: TaskResult) -> str:
    """What the pilot's choice is expected to cost: "0.4 %"; empty without a pilot."""
    if result.regret is None:
        return ""
    if result.regret < _NOTHING:
        return "none"
    return size_words(result.regret, task)


def most_regret(task: TaskResult) -> str:
    """The largest regret of a task in a sentence; empty without a pilot."""
    known = [result for result in task.results if result.regret is not None]
    if not known:
        return ""
    worst = max(known, key=lambda result: result.regret or 0.0)
    told = regret(worst, task)
    if told == "none":
        return "No regret of the rates chosen is to be expected."
    return f"Expected regret of the rates chosen: up to {told} ({worst.contender})."


def noise(task: TaskResult) -> str:
    """The noise card of a task in a sentence; empty where there is none."""
    card = task.noise
    if card is None or task.design is None:
        return ""
    effect = size_words(2 * task.margin_on_scale, task)
    text = (
        f"A paired difference spreads by {size_words(card.spread, task)}: "
        f"{_many(card.effect)} call {effect} different, {_many(card.equal)} call "
        "equals equal."
    )
    if task.ranked or not task.tuned:
        return text
    return f"{text} Too noisy to rank: it is shown, and counts in no rank."


def step_costs(task: TaskResult, reference: str) -> str:
    """The cost of one step beside the reference's; empty where it is not known."""
    first = task.result(reference)
    if first is None or not first.microseconds_per_step:
        return ""
    others = [
        f"{result.contender} x{result.microseconds_per_step / own:.2g}"
        for result in task.results
        if result is not first
        and (own := first.microseconds_per_step)
        and result.microseconds_per_step
    ]
    if not others:
        return ""
    told = duration(first.microseconds_per_step)
    return f"One step beside {reference}'s, {told}: {', '.join(others)}."


def _many(number: int) -> str:
    return "a million seeds or more" if number >= 10**6 else count(number, "seed")


def open_words(analysis: Analysis) -> str:
    """What is open before its last look, and what it costs to decide it; "" if none."""
    left = [
        (task, result)
        for task in analysis.tasks
        for result in task.results
        if result.verdict is Verdict.INCONCLUSIVE and _looks_left(task, result)
    ]
    if not left:
        return ""
    costs = [_cost(*each, analysis.reference) for each in left]
    able = [seconds for seconds in costs if seconds is not None]
    text = f"--until decided goes on with {len(left)} of the inconclusive"
    if able:
        text += f": about {waiting(sum(able))} to decide {len(able)}"
    if rest := len(left) - len(able):
        verb = "needs" if rest == 1 else "need"
        text += f"; by what is seen, {rest} {verb} more seeds than the last look has"
    return f"{text}."


def _looks_left(task: TaskResult, result: Result) -> bool:
    """Whether a further look may decide a contrast."""
    look = 0 if result.contrast is None else result.contrast.look
    return task.design is not None and 0 < look < len(task.design.looks)


def _cost(task: TaskResult, result: Result, reference: str) -> float | None:
    """Seconds to decide an open contrast; None where its last look would not do."""
    contrast, design = result.contrast, task.design
    if contrast is None or contrast.verdict_interval is None or design is None:
        return None
    more = more_seeds(contrast, contrast.verdict_interval.level)
    made = len(contrast.pairs.differences)
    if more is None or made + more > design.looks[-1]:
        return None
    other = task.result(reference)
    costs = [each.seconds or 0.0 for each in (result, other) if each]
    return more * sum(costs) / cores()


def design(analysis: Analysis) -> str:
    """How rates were chosen and judged, for the methods; empty without a pilot."""
    found = next((task.design for task in analysis.tasks if task.design), None)
    if found is None:
        return ""
    if found.pilot:
        rungs = listed(
            [
                f"{'all rates' if not keep else f'the best {keep}'} with "
                f"{count(number, 'seed' if not keep else 'further seed')}"
                for keep, number in found.pilot
            ]
        )
        text = (
            f"Learning rates were chosen by a pilot, {rungs}, on the mean score of the "
            "last iterate; fresh seeds, which no choice had seen, judged at the chosen "
            "rate. Verdicts are about contenders at the rates that the pilot chose; "
            "its regret, how much worse than the best rate of the grid the chosen one "
            "is to be expected, stands beside each. "
        )
    else:
        text = "Every contender has one learning rate. "
    looks = listed([str(look) for look in found.looks])
    if len(found.looks) == 1:
        return f"{text}Differences were looked at once, after {looks} seeds."
    share = whole_percent(analysis.alpha / len(found.looks))
    return (
        f"{text}Differences are looked at after {looks} seeds, as fixed in the plan, "
        f"each time at the level {share}, which Holm's procedure divides among the "
        "contrasts of a task that are still open. A contrast that is decided, either "
        "way, gets no more seeds."
    )
