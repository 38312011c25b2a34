"""The ledger in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mementum.lab.claims.ledger import methods, words
from mementum.lab.claims.ledger.figures import ClaimFigures
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import Outcome, Verdict

CHECKS = "ledger-files/checks"
FIGURES = "ledger-files/figures"
"""Folders of the pictures, beside the text."""


def ledger(verdicts: Sequence[Verdict], tier: Tier, drawn: ClaimFigures) -> str:
    """Return the whole ledger."""
    return "\n".join(_lines(verdicts, tier, drawn)) + "\n"


def _lines(
    verdicts: Sequence[Verdict], tier: Tier, drawn: ClaimFigures
) -> Iterator[str]:
    """Return the ledger line by line."""
    counted = ", ".join(f"{n} {each}" for each, n in words.tally(verdicts).items())
    yield from ("# Claims ledger", "", f"Tier {tier}: {counted}.", "")
    yield from (
        "| Claim | Paper | Verdict | What the paper says |",
        "|---|---|---|---|",
    )
    for each in verdicts:
        claim = each.claim
        cells = (claim.name, claim.paper, f"**{each.outcome}**", claim.sentence)
        yield f"| {' | '.join(map(_cell, cells))} |"
    for each in verdicts:
        yield from _of_claim(each)
        if figures := drawn[each.claim.name]:
            about = " ".join(figure.description for figure in figures)
            yield from ("", _picture(about, f"{FIGURES}/{each.claim.name}.svg"))
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
    yield (
        "| Check | Answer | Interval in its region | Found | Level | Wanted "
        "| Seeds | Task | Remarks |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for number, each in enumerate(verdict.findings, start=1):
        drawing = f"{CHECKS}/{claim.name}-{number}.svg"
        cells = (
            f"{each.check.says} ({words.sides(each)})",
            f"**{each.answer}**",
            _picture(words.describe(each), drawing)
            if each.interval is not None
            else "",
            words.difference(each),
            words.level(each) or "exact",
            words.wanted(each),
            str(each.seeds),
            f"{each.check.task}: {words.value(each)}",
            words.remarks(each),
        )
        yield f"| {' | '.join(map(_cell, cells))} |"


def _picture(about: str, path: str) -> str:
    """Return a picture with the words that stand for it."""
    words = about.replace("[", "\\[").replace("]", "\\]").replace("\n", " ")
    return f"![{words}]({path})"


def _cell(text: str) -> str:
    """Return text that stays inside a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")
