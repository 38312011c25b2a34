"""Claims and findings in words, the same on the terminal, the page and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mementum.lab.claims.verdict import Answer, Finding, Outcome, Verdict
from mementum.lab.report import wording

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

TONES = {
    Outcome.REPRODUCED: "better",
    Answer.HOLDS: "better",
    Outcome.NOT_REPRODUCED: "worse",
    Answer.FAILS: "worse",
}


def tone(found: Outcome | Answer) -> str:
    """The class of the page's style that shows what was found; empty for undecided."""
    return TONES.get(found, "")


def one(difference: float, scale: str) -> str:
    """A difference: "-12.3 %" or "x12" on the log scale, "0.031" on the linear one."""
    if scale == "log":
        words = wording.change_words(math.expm1(min(difference, 700.0)))
        return words if words.startswith(wording.TIMES) else f"{words} %"
    return wording.signed(difference, wording.decimals([difference]))


def difference(finding: Finding) -> str:
    """The difference with its interval: "-12.3 % [-15.1 %, -9.4 %]"."""
    if finding.difference is None:
        return "no pair of finite values"
    mean = one(finding.difference, finding.check.scale)
    if finding.exact:
        return f"{mean} exactly"
    if finding.interval is None:
        return mean
    low = one(finding.interval.low, finding.check.scale)
    high = one(finding.interval.high, finding.check.scale)
    return f"{mean} [{low}, {high}]"


def level(finding: Finding) -> str:
    """The interval's level: "95 %", "97.5 %"."""
    if finding.exact or finding.interval is None:
        return ""
    return wording.whole_percent(finding.interval.level)


def wanted(finding: Finding) -> str:
    """What the check asks of the difference: "below -1 %", "between -5 % and 5 %"."""
    low, high = finding.region
    scale = finding.check.scale
    if math.isinf(low):
        return f"below {one(high, scale)}"
    if math.isinf(high):
        return f"above {one(low, scale)}"
    return f"between {one(low, scale)} and {one(high, scale)}"


def told(finding: Finding) -> str:
    """The picture of an interval in words."""
    return f"{difference(finding)}, wanted {wanted(finding)}"


def sides(finding: Finding) -> str:
    """What is compared with what: "AdaX against Adam", "Adam against 0.95"."""
    check = finding.check
    other = check.against if check.against is not None else f"{check.level:g}"
    return f"{check.arm} against {other}"


def value(finding: Finding) -> str:
    """What is read of a run: "metric", "training objective after 50 % of the steps"."""
    check = finding.check
    name = {
        "validation": "metric",
        "train": "training objective",
        "rise": "largest rise of the training objective",
    }[check.value]
    when = f" after {100 * check.at:g} % of the steps" if check.at < 1 else ""
    return name + when


def remarks(finding: Finding) -> str:
    """What must be known beside the numbers."""
    found = []
    check = finding.check
    if finding.answer is Answer.OPEN and finding.detectable is not None:
        size = one(finding.detectable, check.scale)
        found.append(f"a distance of {size} from the edge would be seen")
    if finding.diverged:
        found.append(f"one side diverged on {wording.count(finding.diverged, 'seed')}")
    named = [(check.arm, finding.arm), (check.against, finding.against)]
    for name, reading in named:
        if reading is not None and reading.edge:
            found.append(f"{name}: the best rate is an end of its grid")
    return "; ".join(found)


def tally(verdicts: Sequence[Verdict]) -> dict[Outcome, int]:
    """How many claims have each outcome."""
    found = [verdict.outcome for verdict in verdicts]
    return {outcome: found.count(outcome) for outcome in Outcome if outcome in found}
