"""The comparison as one HTML file that opens offline and loads nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from mementum.lab.records import atomic
from mementum.lab.records.run import RunRecord
from mementum.lab.report import methods, number_words, sentences, stage_words
from mementum.lab.report.figures.figure_set import FigureSet
from mementum.lab.report.figures.palette import looks
from mementum.lab.report.ledger_rows import LedgerRows
from mementum.lab.statistics import Analysis, TaskResult, Trouble, Verdict

_SECTIONS = (
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
_SIGNS = {
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
    ledger: LedgerRows | None = None,
) -> None:
    """Write the page to this file, replacing what was there; a ledger is shown too.

    The page is written beside the file first and then takes its place, so that an
    interrupted write leaves the old page whole.

    Errors:
        OSError: The folder cannot be written, or the disk is full.
    """
    atomic.write_text(Path(path), render(analysis, records, ledger))


def render(
    analysis: Analysis, records: Iterable[RunRecord], ledger: LedgerRows | None = None
) -> str:
    """The page as text."""
    drawn = FigureSet.of(analysis, list(records))
    template = environment().get_template("page.html.j2")
    return template.render(
        analysis=analysis,
        drawn=drawn,
        figures_json=embedded([asdict(figure) for figure in drawn.all()]),
        plotly=Markup(get_plotlyjs()),  # noqa: S704, the library's own script
        looks=looks(analysis.contenders, analysis.reference, analysis.matched),
        methods=methods.paragraphs(analysis),
        troubles=grouped(analysis.troubles),
        costs=_costs(analysis),
        ledger=ledger,
        tally=number_words.verdicts(analysis),
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
        "number_words": number_words,
        "sentences": sentences,
        "stage_words": stage_words,
        "signs": _SIGNS,
        "sections": _SECTIONS,
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


_SCALING_FROM = 100_000
"""Parameters below which a step's cost is that of the call, not of the parameters."""


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """What a step costs in the optimizer, and how that compares within its task."""

    microseconds: float
    per_million: float | None
    share: float


def _costs(analysis: Analysis) -> dict[str, list[_Cost | None]]:
    """For every contender its cost on every task; None without a finished run."""
    return {
        contender: [cost(task, contender) for task in analysis.tasks]
        for contender in analysis.contenders
    }


def cost(task: TaskResult, contender: str) -> _Cost | None:
    """The cost of a contender on a task, as a share of the most expensive one."""
    result = task.result(contender)
    own = None if result is None else result.microseconds_per_step
    if own is None:
        return None
    most = max(r.microseconds_per_step or 0.0 for r in task.results)
    parameters = task.parameters or 0
    return _Cost(
        microseconds=own,
        per_million=1e6 * own / parameters if parameters >= _SCALING_FROM else None,
        share=own / most if most else 0.0,
    )


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Troubles that differ in nothing but the learning rate and the seed."""

    task: str
    contender: str
    kind: str
    error: str | None
    lrs: tuple[float, ...]
    seeds: tuple[int, ...]
    """The seeds at each of these rates."""


def grouped(troubles: Iterable[Trouble]) -> list[_Group]:
    """Troubles at the same seeds of several learning rates as one; failures first."""
    seeds: dict[tuple[str, str, str, str | None], dict[float, set[int]]] = {}
    for t in troubles:
        key = (t.kind, t.task, t.contender, t.error)
        seeds.setdefault(key, {}).setdefault(t.lr, set()).add(t.seed)
    kinds = ("failed", "missing", "diverged")
    ordered = sorted(seeds, key=lambda key: kinds.index(key[0]))
    return [
        _Group(
            kind=kind, task=task, contender=contender, error=error, lrs=lrs, seeds=of
        )
        for kind, task, contender, error in ordered
        for of, lrs in _alike(seeds[kind, task, contender, error]).items()
    ]


def _alike(seeds: Mapping[float, set[int]]) -> dict[tuple[int, ...], tuple[float, ...]]:
    """The learning rates with the same seeds, ascending, under these seeds."""
    found: dict[tuple[int, ...], tuple[float, ...]] = {}
    for lr in sorted(seeds):
        of = tuple(sorted(seeds[lr]))
        found[of] = (*found.get(of, ()), lr)
    return found
