"""How the ledger is made, in sentences that can be pasted into a paper."""

from __future__ import annotations

from collections.abc import Sequence

from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import ALPHA, Verdict
from mementum.lab.report import number_words

_VERDICTS = (
    "A check holds if the interval of its difference lies inside the region that was "
    "fixed before any run, fails if it lies outside, and is open otherwise. A claim is "
    "reproduced if all its checks hold, not reproduced if one fails, and inconclusive "
    "otherwise. A verdict is about the experiment that was run, at the scale it was "
    "run at; where that is not the paper's, the claim's note says so."
)


def paragraphs(verdicts: Sequence[Verdict], tier: Tier) -> list[str]:
    """Return the paragraphs."""
    checks = [each for verdict in verdicts for each in verdict.findings]
    papers = dict.fromkeys(verdict.claim.source for verdict in verdicts)
    named = f"{number_words.count(len(verdicts), 'claim')} of {', '.join(papers)}"
    if not checks:
        return [f"{named} cannot be tested at this scale; nothing was run."]
    level = number_words.whole_percent(1 - ALPHA)
    was = "was" if len(verdicts) == 1 else "were"
    runs = (
        f"{named} {was} checked by {number_words.count(len(checks), 'predicate')} "
        f"fixed in data files before the runs. Arms were trained with {tier.seeds} "
        "seeds each, which fix the start, the order of the data and the split, so that "
        "arms are compared in pairs; on deterministic problems, once."
    )
    rates = sorted({len(each.arm.by_rate) for each in checks})
    if rates == [1]:
        tuning = "Every arm has one learning rate."
    else:
        number = " to ".join(map(str, dict.fromkeys((rates[0], rates[-1]))))
        tuning = (
            f"Arms have {number} learning rates. Where there are several, the rate for "
            "each seed is the one with the best mean over the other seeds, unless the "
            "check takes the mean over all rates."
        )
    intervals = (
        "Intervals are paired t intervals over seeds, on differences of logarithms "
        "where the quantity is a loss, and Clopper-Pearson intervals for shares of "
        f"many trials. With k checks in a claim each has the level 1 - {ALPHA:g}/k, so "
        f"that together they cover with probability {level} or more."
    )
    return [runs, tuning, intervals, _VERDICTS]
