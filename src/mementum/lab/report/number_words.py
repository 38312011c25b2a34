"""Numbers and verdicts in words, the same on the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mementum.lab.statistics import (
    Analysis,
    Contrast,
    Interval,
    Result,
    TaskResult,
    Verdict,
)
from mementum.lab.statistics.grid import effect

NONE = "-"
TIMES = "x"
_MANY = 6
"""Learning rates that are listed one by one."""
_MANIFOLD = 10
"""Relative changes above this are written as factors, as percentages mislead there."""
_ANY = math.log(1e8)
"""An interval this wide around no difference, on the log scale, says nothing."""


def signed(number: float | None, digits: int) -> str:
    """A number with a minus where it is negative; zero has none, None is huge."""
    if number is None:
        return "> 1e308"
    text = f"{number:.{digits}f}" if abs(number) < 1e5 else f"{number:.1e}"
    return text.lstrip("-") if float(text) == 0 else text


def decimals(numbers: Iterable[float | None]) -> int:
    """How many decimals show three digits of the largest number, at most four."""
    largest = max((abs(n) for n in numbers if n is not None), default=0.0)
    if largest == 0:
        return 0
    return min(4, max(0, 2 - math.floor(math.log10(largest))))


def effect_words(contrast: Contrast, task: TaskResult) -> str:
    """An effect with its verdict interval: "-12.3 % [-15.1, -9.4]"."""
    if contrast.mean is None:
        return "no finite pair"
    if contrast.exact and contrast.mean == 0:
        return "no difference"
    between = interval_words(contrast.verdict_interval, task)
    ending = " exactly" if contrast.exact else f" {between}".rstrip()
    return mean_words(contrast, task) + ending


def mean_words(contrast: Contrast, task: TaskResult) -> str:
    """The mean effect: "-12.3 %" or "x12", or "-0.97" in the metric's unit."""
    if contrast.mean is None:
        return NONE
    (words,) = _numbers([contrast.mean], task)
    return words + (" %" if task.scale == "log" and words[0] != TIMES else "")


def interval_words(interval: Interval | None, task: TaskResult) -> str:
    """An interval in the unit of the effect: "[-15.1, -9.4]"; empty for None."""
    if interval is None:
        return ""
    wide = interval.high - interval.low >= _ANY
    if task.scale == "log" and wide and interval.low < 0 < interval.high:
        return "any"
    low, high = _numbers([interval.low, interval.high], task)
    # Beside a factor, a percentage says what it is.
    unit = " %" if high.startswith(TIMES) and not low.startswith(TIMES) else ""
    return f"[{low}{unit}, {high}]"


def _numbers(differences: Sequence[float], task: TaskResult) -> list[str]:
    """Differences on the scale in percent, or in the metric's unit."""
    shown = [effect(difference, task.scale) for difference in differences]
    if task.scale != "log":
        return [signed(number, decimals(shown)) for number in shown]
    return [change_words(number) for number in shown]


def change_words(change: float | None) -> str:
    """A relative change in percent, "-12.3", or beyond +1,000 % in times, "x12"."""
    if change is None:
        return signed(None, 0)
    if change > _MANIFOLD:
        return _times_words(change, 3)
    return signed(100 * change, 0 if abs(change) >= 1 else 1)


def _times_words(change: float, digits: int) -> str:
    """A relative change as a factor, to so many digits: "x12"."""
    words = f"{float(f'{1 + change:.{digits}g}'):g}"
    return TIMES + words.replace("e+0", "e").replace("e+", "e")


def size_words(difference: float, task: TaskResult) -> str:
    """The size of a difference: "9.1 %" or "x12", or "0.02" in the metric's unit."""
    if task.scale == "log" and difference >= _ANY / 2:
        return "any"
    shown = effect(difference, task.scale)
    if shown is None:
        return "> 1e308"
    if task.scale == "log" and shown > _MANIFOLD:
        return _times_words(shown, 2)
    size = 100 * shown if task.scale == "log" else shown
    rounded = float(f"{size:.2g}")
    words = f"{rounded:.2g}" if rounded < 100 else f"{rounded:.6g}"
    return f"{words} %" if task.scale == "log" else words


def with_interval(value: float, interval: Interval | None, digits: int) -> str:
    """A number with its interval, to so many decimals: "2.1 [1.2, 3.0]"."""
    if interval is None:
        return f"{value:.{digits}f}"
    low, high = interval.low, interval.high
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def margin_words(task: TaskResult) -> str:
    """The equivalence margin: "1 %", or "0.005" in the metric's unit."""
    shown = 100 * task.margin if task.scale == "log" else task.margin
    return f"{shown:g} %" if task.scale == "log" else f"{shown:g}"


def rate_words(result: Result, between: str) -> str:
    """The learning rates chosen: "0.001", or "0.001..0.0032" where seeds differ."""
    lrs = result.choice.lrs
    return between.join(rate(lr) for lr in dict.fromkeys(lrs[:1] + lrs[-1:])) or NONE


def rate(lr: float) -> str:
    """A learning rate to three digits, without the zeros that hide its size."""
    if 1e-3 <= lr < 1e3:
        return f"{lr:.3g}"
    digits, exponent = f"{lr:.2e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


def rates(lrs: Sequence[float]) -> str:
    """Learning rates in a row; of many, the first, the last and their number."""
    if len(lrs) > _MANY:
        return f"{rate(lrs[0])} to {rate(lrs[-1])} ({len(lrs)})"
    return ", ".join(map(rate, lrs))


def score_words(score: float | None) -> str:
    """A score to three digits."""
    return NONE if score is None else f"{score:#.3g}".rstrip(".")


def duration(microseconds: float) -> str:
    """A short time to three digits, in the unit that suits it: "41.3 µs", "1.3 s"."""
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= size:
            return f"{microseconds / size:.3g} {unit}"
    return f"{microseconds:.3g} µs"


def p_words(p: float | None) -> str:
    """A p-value to two digits, and no smaller than can be believed."""
    if p is None:
        return ""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def whole_percent(share: float) -> str:
    """A share in percent: "95 %"."""
    return f"{100 * share:.3g} %"


def level(analysis: Analysis) -> str:
    """The level of the plain intervals: "95 %"."""
    return whole_percent(1 - analysis.alpha)


def adjusted(analysis: Analysis) -> str:
    """What the level of verdict intervals is adjusted for."""
    many = any(task.design and len(task.design.looks) > 1 for task in analysis.tasks)
    looks = "for the looks, and " if many else ""
    return f"adjusted {looks}after Holm for the contenders of a task"


def named_reference(analysis: Analysis) -> str:
    """The reference, called tuned where its rate could be chosen."""
    return f"{'tuned ' * analysis.tuned}{analysis.reference}"


def rates_tried(analysis: Analysis) -> str:
    """How many learning rates grids have: "5 or 7 learning rates"."""
    sizes = {len(r.choice.tried.lrs) for task in analysis.tasks for r in task.results}
    if not sizes:
        return ""
    *some, most = sorted(sizes)
    return " or ".join([*map(str, some), count(most, "learning rate")])


def verdicts(analysis: Analysis) -> dict[Verdict, int]:
    """How often each verdict was reached, the reference left out.

    Tasks on which no rate could be chosen are not counted.
    """
    found = [
        result.verdict
        for task in analysis.tasks
        if task.tuned
        for result in task.results
        if result.contender != analysis.reference
    ]
    return {verdict: found.count(verdict) for verdict in Verdict if verdict in found}


def count(number: int, noun: str) -> str:
    """A number with its noun, in the plural where needed: "1 run", "2 runs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def troubles_words(analysis: Analysis) -> str:
    """How many runs diverged, failed or are missing: "12 diverged, 2 failed"."""
    kinds = [trouble.kind for trouble in analysis.troubles]
    return ", ".join(
        f"{kinds.count(kind):,} {kind}"
        for kind in ("diverged", "failed", "missing")
        if kind in kinds
    )


def screening_words(analysis: Analysis) -> str:
    """What so few seeds allow to say; empty where there are enough."""
    if not analysis.screening:
        return ""
    fewest = min(len(t.seeds) for t in analysis.tasks if not t.deterministic)
    return (
        f"With {count(fewest, 'seed')} this is a screening: a verdict suggests, "
        "it does not establish."
    )


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Names as a list in a sentence."""
    if len(names) < 2:
        return "".join(names) or "nothing"
    return f"{', '.join(names[:-1])} and {names[-1]}"
