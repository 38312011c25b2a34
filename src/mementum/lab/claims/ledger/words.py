"""Claims and findings in words, the same on the terminal, the page and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mementum.lab.claims.claim import Check
from mementum.lab.claims.setting import parse
from mementum.lab.claims.verdict import Answer, Finding, Outcome, Verdict
from mementum.lab.report import number_words

SIGNS = {
    Outcome.REPRODUCED: "✓",
    Outcome.NOT_REPRODUCED: "✕",
    Outcome.INCONCLUSIVE: "?",
    Outcome.UNTESTABLE: "\N{EN DASH}",
    Outcome.MISSING: "…",
}
ANSWERS = {
    Answer.HOLDS: "✓",
    Answer.FAILS: "✕",
    Answer.OPEN: "?",
    Answer.MISSING: "…",
}

_TONES = {
    Outcome.REPRODUCED: "better",
    Answer.HOLDS: "better",
    Outcome.NOT_REPRODUCED: "worse",
    Answer.FAILS: "worse",
}


def tone(found: Outcome | Answer) -> str:
    """The class of the page's style that shows what was found; empty for undecided."""
    return _TONES.get(found, "")


_PROBED = {
    "sharpness": "largest eigenvalue of the Hessian at a matched training loss",
    "adaptive": "adaptive sharpness at a matched training loss",
    "change": "relative change of the second moment in the last step",
    "turn": "one minus the cosine between the update and that of half the run's memory",
}
"""What the metric is once a word after the task's name has replaced it."""


def _change(difference: float, scale: str) -> str:
    """A difference: "-12.3 %" or "x12" on the log scale, "0.031" on the linear one."""
    if scale == "log":
        words = number_words.change_words(math.expm1(min(difference, 700.0)))
        return words if words.startswith(number_words.TIMES) else f"{words} %"
    return number_words.signed(difference, number_words.decimals([difference]))


def _one(difference: float, check: Check, digits: int = 3) -> str:
    """A difference from an arm, or the value itself where a level stands against it."""
    if check.level is None:
        return _change(difference, check.scale)
    if check.scale == "log":
        return f"{check.level * math.exp(min(difference, 600.0)):.{digits}g}"
    return f"{check.level + difference:.{digits}g}"


def difference(finding: Finding) -> str:
    """What was found with its interval: "-12.3 % [-15.1 %, -9.4 %]"."""
    if finding.difference is None:
        return "no pair of finite values"
    mean = _one(finding.difference, finding.check)
    if finding.exact:
        return f"{mean} exactly"
    if finding.interval is None:
        return mean
    low = _one(finding.interval.low, finding.check)
    high = _one(finding.interval.high, finding.check)
    return f"{mean} [{low}, {high}]"


def level(finding: Finding) -> str:
    """The interval's level: "95 %", "97.5 %"."""
    if finding.exact or finding.interval is None:
        return ""
    return number_words.whole_percent(finding.interval.level)


def wanted(finding: Finding) -> str:
    """What the check asks for: "below -1 %", "between -5 % and 5 %", "above 0.95"."""
    low, high = (
        _one(edge, finding.check, 6) if math.isfinite(edge) else ""
        for edge in finding.region
    )
    if not low:
        return f"below {high}"
    return f"between {low} and {high}" if high else f"above {low}"


def describe(finding: Finding) -> str:
    """The picture of an interval in words."""
    return f"{difference(finding)}, wanted {wanted(finding)}"


def sides(finding: Finding) -> str:
    """What is compared with what: "AdaX against Adam", "Adam against 0.95"."""
    check = finding.check
    other = check.against if check.against is not None else f"{check.level:g}"
    return f"{check.arm} against {other}"


def value(finding: Finding) -> str:
    """What is read of a run: a metric, "training objective after 50 % of the steps"."""
    check = finding.check
    name = {
        "validation": _metric(check.task),
        "train": "training objective",
        "rise": "largest rise of the training objective",
    }[check.value]
    when = f" after {100 * check.at:g} % of the steps" if check.at < 1 else ""
    return name + when


def _metric(name: str) -> str:
    """What the metric of a task is, under all that modifies it."""
    setting = parse(name)
    return setting.task.metric if setting.probe is None else _PROBED[setting.probe]


def remarks(finding: Finding) -> str:
    """What must be known beside the numbers."""
    found = []
    check = finding.check
    if finding.answer is Answer.OPEN and finding.detectable is not None:
        size = _change(finding.detectable, check.scale)
        found.append(f"{size} beyond the edge would be found with probability 0.8")
    if finding.diverged:
        found.append(
            f"one side diverged on {number_words.count(finding.diverged, 'seed')}"
        )
    named = [(check.arm, finding.arm), (check.against, finding.against)]
    for name, reading in named:
        if reading is not None and reading.edge:
            found.append(f"{name}: the best rate is an end of its grid")
    return "; ".join(found)


def tally(verdicts: Sequence[Verdict]) -> dict[Outcome, int]:
    """How many claims have each outcome."""
    found = [verdict.outcome for verdict in verdicts]
    return {outcome: found.count(outcome) for outcome in Outcome if outcome in found}


def headline(verdicts: Sequence[Verdict]) -> str:
    """The finding: "Of 32 claims, 11 reproduced, 4 not reproduced, 17 inconclusive"."""
    told = ", ".join(f"{number} {each}" for each, number in tally(verdicts).items())
    if len(verdicts) == 1:
        return f"{verdicts[0].claim.name}: {told.removeprefix('1 ')}"
    return (
        f"Of {number_words.count(len(verdicts), 'claim')}, {told or 'none is checked'}"
    )
