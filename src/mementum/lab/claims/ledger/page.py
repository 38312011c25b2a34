"""The ledger as one HTML file that opens offline and loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mementum.lab.claims.ledger import methods, tables, words
from mementum.lab.claims.ledger.figures import ClaimFigures, claim_looks
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import Verdict
from mementum.lab.records.run import RunRecord
from mementum.lab.report.figures.drawing import Drawing
from mementum.lab.report.page import elements
from mementum.lab.report.templating import environment


def render(
    verdicts: Sequence[Verdict],
    tier: Tier,
    records: Sequence[RunRecord],
    figures: Mapping[str, ClaimFigures],
    drawings: Sequence[Drawing],
) -> str:
    """The page as text."""
    svgs, styles = elements(drawings)
    return (
        environment()
        .get_template("ledger.html.j2")
        .render(
            verdicts=verdicts,
            figures=figures,
            svgs=svgs,
            styles=styles,
            looks=[claim_looks(verdict) for verdict in verdicts],
            checks=[tables.checks(verdict) for verdict in verdicts],
            arms=[tables.arms(verdict, tier) for verdict in verdicts],
            words=words,
            tier=tier,
            troubles=tables.troubles(records),
            machines=_environments(records),
            methods=methods.paragraphs(verdicts, tier),
        )
    )


def _environments(records: Sequence[RunRecord]) -> list[dict[str, str]]:
    """The distinct machines and versions that the runs come from."""
    found = {tuple(sorted(record.environment.items())) for record in records}
    return [dict(each) for each in sorted(found)]
