"""The ledger as plain data, for ``--json``.

    format    1; it grows when a key changes its meaning
    tier      smoke, quick or standard
    claims    [{name, paper, source, sentence, note, verdict, untestable, checks}]
      checks  [{says, answer, task, value, arm, against, level, scale, region,
                difference, interval, interval_level, exact, seeds, diverged,
                detectable}]

Differences, intervals, regions and detectable distances are on the check's scale:
differences of logarithms, or of the value itself. An end that is infinite, and a number
that does not exist, is null.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mementum.lab.claims.plan import Tier
from mementum.lab.claims.verdict import Finding, Verdict
from mementum.lab.run import strict

FORMAT = 1


def plain(verdicts: Sequence[Verdict], tier: Tier) -> dict[str, Any]:
    """Return the ledger as nested dictionaries, lists, strings and finite numbers."""
    claims = [of_verdict(verdict) for verdict in verdicts]
    found: dict[str, Any] = strict(
        {"format": FORMAT, "tier": tier.value, "claims": claims}
    )
    return found


def text(verdicts: Sequence[Verdict], tier: Tier) -> str:
    """Return the plain data as JSON."""
    return json.dumps(plain(verdicts, tier), indent=1, allow_nan=False)


def of_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return one claim."""
    claim = verdict.claim
    return {
        "name": claim.name,
        "paper": claim.paper,
        "source": claim.source,
        "sentence": claim.sentence,
        "note": claim.note,
        "verdict": verdict.outcome.value,
        "untestable": claim.untestable or None,
        "checks": [of_finding(finding) for finding in verdict.findings],
    }


def of_finding(finding: Finding) -> dict[str, Any]:
    """Return one check."""
    check, interval = finding.check, finding.interval
    return {
        "says": check.says,
        "answer": finding.answer.value,
        "task": check.task,
        "value": check.value,
        "arm": check.arm,
        "against": check.against,
        "level": check.level,
        "scale": check.scale,
        "region": list(finding.region),
        "difference": finding.difference,
        "interval": None if interval is None else [interval.low, interval.high],
        "interval_level": None if interval is None else interval.level,
        "exact": finding.exact,
        "seeds": finding.seeds,
        "diverged": finding.diverged,
        "detectable": finding.detectable,
    }
