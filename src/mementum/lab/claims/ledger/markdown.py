"""The ledger in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mementum.lab.claims.ledger import methods, tables, words
from mementum.lab.claims.ledger.figures import ClaimFigures
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import Outcome, Verdict

FIGURES = "ledger-files/figures"
"""The folder of the pictures, beside the text."""


def ledger(
    verdicts: Sequence[Verdict], tier: Tier, figures: Mapping[str, ClaimFigures]
) -> str:
    """Return the whole ledger."""
    return "\n".join(_lines(verdicts, tier, figures)) + "\n"


def _lines(
    verdicts: Sequence[Verdict], tier: Tier, figures: Mapping[str, ClaimFigures]
) -> Iterator[str]:
    """Return the ledger line by line."""
    counted = ", ".join(f"{n} {each}" for each, n in words.tally(verdicts).items())
    yield from ("# Claims ledger", "", f"Tier {tier}: {counted}.", "")
    yield from tables.markdown(tables.summary(verdicts))
    for each in verdicts:
        yield from _of_claim(each)
        for figure in figures[each.claim.name].all():
            about = figure.description.replace("[", "\\[").replace("]", "\\]")
            yield from ("", f"![{about}]({FIGURES}/{figure.file}.svg)")
    yield from ("", "## Methods")
    for paragraph in methods.paragraphs(verdicts, tier):
        yield from ("", paragraph)


def _of_claim(verdict: Verdict) -> Iterator[str]:
    """Return the part about one claim."""
    claim = verdict.claim
    yield from ("", f"## {claim.name} ({claim.paper}): {verdict.outcome}", "")
    yield claim.sentence
    yield from ("", f"Source: {claim.source}, {claim.where}. Read: {claim.read}.")
    if verdict.outcome is Outcome.UNTESTABLE:
        yield from ("", claim.untestable)
        return
    if claim.note:
        yield from ("", claim.note)
    yield ""
    yield from tables.markdown(tables.checks(verdict))
