"""The tables of the ledger, for the page and for Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from mementum.lab.claims.ledger import words
from mementum.lab.claims.settled import Settled, Tier, settle
from mementum.lab.claims.verdict import Finding, Verdict
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.report import number_words
from mementum.lab.report.methods import option_words
from mementum.lab.report.tables import Cell, Row, Table, number, table


def summary(verdicts: Sequence[Verdict]) -> Table:
    """Return every claim with its verdict."""
    return table(
        "All claims with their verdicts",
        (
            {
                "Claim": each.claim.name,
                "Paper": each.claim.paper,
                "Verdict": each.outcome.value,
                "What the paper says": each.claim.sentence,
            }
            for each in verdicts
        ),
    )


def checks(verdict: Verdict) -> Table:
    """Return what was asked of a claim, and what was found."""
    return table(
        f"Checks of {verdict.claim.name}",
        map(_check, verdict.findings),
        long=("Check", "Read", "Remarks"),
    )


def _check(finding: Finding) -> Row:
    check, answer = finding.check, finding.answer
    sign = words.ANSWERS[answer]
    return {
        "Check": f"{check.says} ({words.sides(finding)})",
        "Answer": Cell(answer.value, None, words.tone(answer), sign),
        "Found": number(words.difference(finding), finding.difference),
        "Level": number(words.level(finding) or "exact", None),
        "Wanted": number(words.wanted(finding), None),
        "Seeds": number(str(finding.seeds), finding.seeds),
        "Read": f"{check.task}: {words.value(finding)}",
        "Remarks": words.remarks(finding),
    }


def arms(verdict: Verdict, tier: Tier) -> Table:
    """Return the arms of a claim with their hyperparameters, once for each task."""
    rows: dict[tuple[str, str], Settled] = {}
    for finding in verdict.findings:
        check = finding.check
        for name in filter(None, (check.arm, check.against)):
            rows[name, check.task] = settle(check, verdict.claim.arms[name], tier)
    return table(
        f"Arms of {verdict.claim.name}",
        (
            {
                "Arm": name,
                "Task": task,
                "Optimizer": settled.arm.contender,
                "Learning rates": ", ".join(map(number_words.rate, settled.arm.lrs)),
                "Other hyperparameters": ", ".join(
                    f"{k} {option_words(v)}" for k, v in settled.options.items()
                ),
            }
            for (name, task), settled in rows.items()
        ),
        long=("Task", "Learning rates", "Other hyperparameters"),
    )


def troubles(records: Sequence[RunRecord]) -> Table:
    """Return the runs that diverged or failed."""
    counted = Counter(
        (*r.spec.labels, r.status.value, r.error or "")
        for r in records
        if r.status is not Status.FINISHED
    )
    return table(
        "Runs that went wrong",
        (
            {
                "Task": task,
                "Optimizer": name,
                "Kind": kind,
                "Runs": number(str(many), many),
                "Error": error,
            }
            for (task, name, kind, error), many in sorted(counted.items())
        ),
        long=("Error",),
    )


def markdown(found: Table) -> Iterator[str]:
    """Return a table in Markdown, line by line."""
    yield f"| {' | '.join(column.head for column in found.columns)} |"
    yield "|---" * len(found.columns) + "|"
    for row in found.rows:
        cells = (cell.text.replace("|", "\\|").replace("\n", " ") for cell in row)
        yield f"| {' | '.join(cells)} |"
