"""The ledger as files: page, Markdown, plain data, and pictures in a folder of theirs.

ledger.html               the page
ledger.md                 the same in Markdown, with the pictures below
ledger.json               the same as plain data, as ``--json`` prints it
ledger-files/checks       the interval of each check: R1-1.svg
ledger-files/figures      the figures of each claim: R1.svg and R1.png
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mementum.lab.claims.ledger import figures as pictures
from mementum.lab.claims.ledger import markdown, page
from mementum.lab.claims.ledger.json_form import PAGE, PLAIN, text
from mementum.lab.claims.plan import by_identity
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import Verdict
from mementum.lab.records import atomic
from mementum.lab.records.run import RunRecord
from mementum.lab.report.figures import matplotlib_export

TEXT = "ledger.md"


def write(
    verdicts: Sequence[Verdict],
    tier: Tier,
    records: Sequence[RunRecord],
    folder: Path,
) -> None:
    """Write all files into the folder, each in the place of the one before.

    Errors:
        OSError: The folder cannot be written, or the disk is full.
    """
    checks, figures = folder / markdown.CHECKS, folder / markdown.FIGURES
    for place in (checks, figures):
        place.mkdir(parents=True, exist_ok=True)
    found = by_identity(records)
    for verdict in verdicts:
        for number, finding in enumerate(verdict.findings, start=1):
            drawing = pictures.interval(finding)
            if drawing:
                name = f"{verdict.claim.name}-{number}.svg"
                atomic.write_text(checks / name, str(drawing))
    drawn = {each.claim.name: pictures.drawn(each, tier, found) for each in verdicts}
    matplotlib_export.sheets(drawn.items(), figures)
    atomic.write_text(folder / PAGE, page.render(verdicts, tier, records, drawn))
    atomic.write_text(folder / TEXT, markdown.ledger(verdicts, tier, drawn))
    atomic.write_text(folder / PLAIN, text(verdicts, tier) + "\n")
