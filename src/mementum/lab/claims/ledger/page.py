"""The ledger as one HTML file that opens offline and loads nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from mementum.lab.claims.ledger import figures as pictures
from mementum.lab.claims.ledger import methods, words
from mementum.lab.claims.settled import Settled, Tier, settle
from mementum.lab.claims.verdict import Verdict
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.report import number_words
from mementum.lab.report.methods import option_words
from mementum.lab.report.page import embedded, environment


def render(
    verdicts: Sequence[Verdict],
    tier: Tier,
    records: Sequence[RunRecord],
    drawn: pictures.ClaimFigures,
) -> str:
    """The page as text."""
    template = environment().get_template("ledger.html.j2")
    every = [asdict(figure) for figures in drawn.values() for figure in figures]
    return template.render(
        verdicts=verdicts,
        figures=drawn,
        looks=[pictures.claim_looks(verdict) for verdict in verdicts],
        arms=[_described(verdict, tier) for verdict in verdicts],
        interval=pictures.interval,
        words=words,
        tier=tier,
        tally=words.tally(verdicts),
        troubles=_troubles(records),
        environments=_environments(records),
        methods=methods.paragraphs(verdicts, tier),
        figures_json=embedded(every),
        plotly=Markup(get_plotlyjs()),  # noqa: S704, the library's own script
    )


def _described(verdict: Verdict, tier: Tier) -> list[dict[str, str]]:
    """The arms of a claim with their hyperparameters, once for each task."""
    rows: dict[tuple[str, str], Settled] = {}
    for finding in verdict.findings:
        check = finding.check
        for name in filter(None, (check.arm, check.against)):
            rows[name, check.task] = settle(check, verdict.claim.arms[name], tier)
    return [
        {
            "arm": name,
            "task": task,
            "optimizer": settled.arm.contender,
            "rates": ", ".join(map(number_words.rate, settled.arm.lrs)),
            "options": ", ".join(
                f"{k} {option_words(v)}" for k, v in settled.options.items()
            ),
        }
        for (name, task), settled in rows.items()
    ]


def _troubles(records: Sequence[RunRecord]) -> list[tuple[str, str, str, int, str]]:
    """Runs that diverged or failed: task, optimizer, kind, how many, and the error."""
    counted = Counter(
        (*r.spec.labels, r.status.value, r.error or "")
        for r in records
        if r.status is not Status.FINISHED
    )
    return [
        (task, name, kind, number, error)
        for (task, name, kind, error), number in sorted(counted.items())
    ]


def _environments(records: Sequence[RunRecord]) -> list[dict[str, str]]:
    """The distinct machines and versions that the runs come from."""
    found = {tuple(sorted(record.environment.items())) for record in records}
    return [dict(each) for each in sorted(found)]
