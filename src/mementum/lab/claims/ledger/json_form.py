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
from pathlib import Path
from typing import Any

from mementum.lab.claims.claim import ClaimError
from mementum.lab.claims.ledger import words
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import Finding, Outcome, Verdict
from mementum.lab.records.run import strict
from mementum.lab.report.export.json_form import picked
from mementum.lab.report.ledger_rows import LedgerRow, LedgerRows

_FORMAT = 1


def to_dict(verdicts: Sequence[Verdict], tier: Tier) -> dict[str, Any]:
    """Return the ledger as nested dictionaries, lists, strings and finite numbers."""
    claims = [_of_verdict(verdict) for verdict in verdicts]
    found: dict[str, Any] = strict(
        {"format": _FORMAT, "tier": tier.value, "claims": claims}
    )
    return found


def text(verdicts: Sequence[Verdict], tier: Tier) -> str:
    """Return the plain data as JSON."""
    return json.dumps(to_dict(verdicts, tier), indent=1, allow_nan=False)


def _of_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return one claim."""
    return {
        **picked(verdict.claim, "name paper source sentence note"),
        "verdict": verdict.outcome.value,
        "untestable": verdict.claim.untestable or None,
        "checks": [_of_finding(finding) for finding in verdict.findings],
    }


def _of_finding(finding: Finding) -> dict[str, Any]:
    """Return one check."""
    interval = finding.interval
    return {
        "says": finding.check.says,
        "answer": finding.answer.value,
        **picked(finding.check, "task value arm against level scale"),
        **picked(finding, "region difference"),
        "interval": None if interval is None else [interval.low, interval.high],
        "interval_level": None if interval is None else interval.level,
        **picked(finding, "exact seeds diverged detectable"),
    }


PAGE = "ledger.html"


PLAIN = "ledger.json"


def read(folder: Path) -> LedgerRows:
    """Return the ledger of a folder.

    Errors:
        ClaimError: There is none, or it is written in another version of its form.
    """
    path = folder / PLAIN
    again = f"`mementum reproduce all --out {folder}` writes it"
    try:
        plain: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ClaimError(
            f"{folder} holds no ledger: {PLAIN} is missing. {again}."
        ) from error
    except OSError as error:
        raise ClaimError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ClaimError(f"{path} is broken ({error}). {again} anew.") from error
    try:
        if (form := plain["format"]) != _FORMAT:
            raise ClaimError(
                f"{path} is written in format {form}, and this version reads format "
                f"{_FORMAT}. {again} anew."
            )
        entries = tuple(_row(each) for each in plain["claims"])
        return LedgerRows(page=folder / PAGE, tier=str(plain["tier"]), entries=entries)
    except (KeyError, TypeError, ValueError) as error:
        raise ClaimError(f"{path} is broken ({error!r}). {again} anew.") from error


def _row(plain: dict[str, Any]) -> LedgerRow:
    outcome = Outcome(plain["verdict"])
    return LedgerRow(
        name=str(plain["name"]),
        paper=str(plain["paper"]),
        sentence=str(plain["sentence"]),
        verdict=outcome,
        sign=words.SIGNS[outcome],
        tone=words.tone(outcome),
    )
