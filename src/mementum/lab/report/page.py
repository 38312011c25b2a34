"""The comparison as one HTML file that opens offline and loads nothing."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from mementum.lab.report import methods, phrases, wording
from mementum.lab.report.drawn import Drawn
from mementum.lab.report.palette import looks
from mementum.lab.report.tables import costs, grouped
from mementum.lab.run import RunRecord
from mementum.lab.statistics import Analysis, Verdict

if TYPE_CHECKING:
    from mementum.lab.claims.kept import Kept

SECTIONS = (
    ("verdicts", "Verdicts"),
    ("across", "All tasks together"),
    ("effects", "Effects"),
    ("curves", "Loss curves"),
    ("rates", "Learning rates"),
    ("budget", "What tuning buys"),
    ("targets", "Time to target"),
    ("cost", "Cost per step"),
    ("controls", "Controls"),
    ("claims", "Claims"),
    ("troubles", "Runs that went wrong"),
    ("methods", "Methods"),
    ("environment", "Environment"),
)
SIGNS = {
    Verdict.BETTER: "▲",
    Verdict.WORSE: "▼",
    Verdict.EQUIVALENT: "=",
    Verdict.INCONCLUSIVE: "?",
    Verdict.REFERENCE: "·",
    Verdict.FAILED: "✕",
}


def write(
    analysis: Analysis,
    records: Iterable[RunRecord],
    path: Path,
    ledger: "Kept | None" = None,
) -> None:
    """Write the page to this file, replacing what was there; a ledger is shown too.

    The page is written beside the file first and then takes its place, so that an
    interrupted write leaves the old page whole.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(render(analysis, records, ledger), encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def render(
    analysis: Analysis, records: Iterable[RunRecord], ledger: "Kept | None" = None
) -> str:
    """The page as text."""
    drawn = Drawn.of(analysis, list(records))
    template = environment().get_template("page.html.j2")
    return template.render(
        analysis=analysis,
        drawn=drawn,
        figures_json=embedded([asdict(figure) for figure in drawn.all()]),
        plotly=Markup(get_plotlyjs()),  # noqa: S704, the library's own script
        looks=looks(analysis.contenders, analysis.reference),
        methods=methods.paragraphs(analysis),
        troubles=grouped(analysis.troubles),
        costs=costs(analysis),
        ledger=ledger,
        tally=wording.verdicts(analysis),
    )


def environment() -> jinja2.Environment:
    """The templates, with everything escaped that they print."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("mementum.lab.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {
        "words": {**vars(phrases), **vars(wording)},
        "signs": SIGNS,
        "sections": SECTIONS,
        "Verdict": Verdict,
    }
    found.filters["typeset"] = typeset
    return found


def typeset(text: str) -> str:
    """Numbers with a true minus sign, and on one line with their percent sign."""
    return text.replace("-", "\N{MINUS SIGN}").replace(" %", "\N{NO-BREAK SPACE}%")


def embedded(data: Any) -> Markup:
    """Data as JSON that cannot end the script element it stands in."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704, every character that could do harm is gone
