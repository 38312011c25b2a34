"""The ledger as files: page, Markdown, plain data, and pictures in a folder of theirs.

ledger.html               the page
ledger.md                 the same in Markdown, with the pictures below
ledger.json               the same as plain data, as ``--json`` prints it
ledger-files/figures      every figure, as SVG and as PNG
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mementum.lab.claims.ledger import figures, markdown, page
from mementum.lab.claims.ledger.json_form import PAGE, PLAIN, text
from mementum.lab.claims.plan import by_identity
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import Verdict
from mementum.lab.records import atomic
from mementum.lab.records.run import RunRecord
from mementum.lab.report.export.files import pictures
from mementum.lab.report.page import Seen, drawn, unseen

TEXT = "ledger.md"


def write(
    verdicts: Sequence[Verdict],
    tier: Tier,
    records: Sequence[RunRecord],
    folder: Path,
    seen: Seen = unseen,
) -> None:
    """Write all files into the folder, each in the place of the one before.

    Errors:
        OSError: The folder cannot be written, or the disk is full.
    """
    found = by_identity(records)
    said = {each.claim.name: figures.said(each, tier, found) for each in verdicts}
    every = [figure for each in said.values() for figure in each.all()]
    drawings = drawn(every, lambda share: seen(share / 2))
    whole = page.render(verdicts, tier, records, said, drawings)
    atomic.write_text(folder / PAGE, whole)
    atomic.write_text(folder / TEXT, markdown.ledger(verdicts, tier, said))
    atomic.write_text(folder / PLAIN, text(verdicts, tier) + "\n")
    pictures(drawings, folder / markdown.FIGURES, lambda share: seen((1 + share) / 2))
