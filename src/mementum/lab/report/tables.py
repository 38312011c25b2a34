"""The tables of a page: columns in which nothing stands are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mementum.lab.report import number_words as words
from mementum.lab.report import sentences, stage_words
from mementum.lab.report.ledger_rows import LedgerRows
from mementum.lab.statistics import Analysis, Estimate, Result, TaskResult

_SCALING_FROM = 100_000
"""Parameters below which a step's cost is that of the call, not of the parameters."""


class Cell(NamedTuple):
    """What stands in a cell, and what it is sorted by where that is not its text."""

    text: str
    key: str | None = None
    tone: str = ""
    """The class of the page's style that shows it in colour."""
    sign: str = ""
    """Beside the text, for the eye alone."""


class Column(NamedTuple):
    """The head of a column, and how its cells are set."""

    head: str
    kind: str
    """ "number" for what is set to the right, "long" for texts, or nothing."""


class Table(NamedTuple):
    """A table; the first cell of a row is its head."""

    about: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


Row = Mapping[str, Cell | str]


def table(about: str, rows: Iterable[Row], long: Sequence[str] = ()) -> Table:
    """Return the table of these rows without the columns in which nothing stands."""
    found = [
        {
            head: Cell(cell) if isinstance(cell, str) else cell
            for head, cell in r.items()
        }
        for r in rows
    ]
    heads = [
        head
        for head in dict.fromkeys(head for row in found for head in row)
        if any(head in row and row[head].text not in ("", words.NONE) for row in found)
    ]
    columns = tuple(
        Column(head, "long" if head in long else "number" * _numeric(head, found))
        for head in heads
    )
    empty = Cell("")
    return Table(
        about, columns, tuple(tuple(row.get(h, empty) for h in heads) for row in found)
    )


def _numeric(head: str, rows: Sequence[Mapping[str, Cell]]) -> bool:
    """Whether a column has numbers."""
    return any(head in row and row[head].key is not None for row in rows)


def number(text: str, value: float | None) -> Cell:
    """Return a cell with a number."""
    return Cell(text, sentences.number(value))


def verdict(result: Result) -> Cell:
    """Return a cell with a verdict."""
    found = result.verdict
    return Cell(found.value, None, found.value, sentences.SIGNS[found])


def numbers(task: TaskResult, analysis: Analysis) -> Table:
    """Return what the verdicts on a task rest on."""
    return table(
        f"Numbers of {task.name}",
        (_numbers(result, task, analysis) for result in task.results),
    )


def _numbers(result: Result, task: TaskResult, analysis: Analysis) -> Row:
    contrast = result.contrast
    row: dict[str, Cell | str] = {
        "Contender": result.contender,
        "Verdict": verdict(result),
        "Score": number(words.score_words(result.score), result.score),
    }
    if contrast is None:
        return row
    pairs = contrast.pairs
    plain, decisive = contrast.interval, contrast.verdict_interval
    detectable = contrast.detectable
    return row | {
        "Effect": number(words.mean_words(contrast, task), contrast.mean),
        f"{words.level(analysis)} interval": number(
            words.interval_words(plain, task), sentences.low(plain)
        ),
        "Verdict interval": number(
            words.interval_words(decisive, task), sentences.low(decisive)
        ),
        "p": number(words.p_words(contrast.p), contrast.p),
        "p, Holm": number(words.p_words(contrast.p_holm), contrast.p_holm),
        "Detectable": number(
            "" if detectable is None else words.size_words(detectable, task), detectable
        ),
        "Seeds better": number(
            sentences.share_words(pairs.improvement), pairs.improvement
        ),
        "p, Wilcoxon": number(words.p_words(pairs.wilcoxon), pairs.wilcoxon),
    }


def tuning(task: TaskResult, analysis: Analysis) -> Table:
    """Return how each contender was tuned on a task, what it cost, and its remarks."""
    return table(
        f"Tuning and cost on {task.name}",
        (_tuning(result, task, analysis) for result in task.results),
        long=("Remarks",),
    )


def _tuning(result: Result, task: TaskResult, analysis: Analysis) -> Row:
    reach, diverged = result.reach, sentences.diverged_share(result)
    gap = sentences.gap(task, result, analysis)
    median, mean = (reach.median, reach.mean) if reach else (None, None)
    lrs = result.choice.lrs
    cost = result.microseconds_per_step
    per_million = cost_per_million(task, cost)
    return {
        "Contender": result.contender,
        "Learning rate": number(
            words.rate_words(result, " to "), lrs[0] if lrs else None
        ),
        "Regret": number(stage_words.regret(result, task), result.regret),
        "Settings": number(str(result.settings), result.settings),
        "Width, decades": number(sentences.fixed(result.width, 1), result.width),
        "Diverged": number(sentences.share_words(diverged), diverged),
        "Spikes a run": number(sentences.fixed(result.spikes, 2), result.spikes),
        "A step": number("" if cost is None else words.duration(cost), cost),
        "Per million parameters": number(
            "" if per_million is None else words.duration(per_million), per_million
        ),
        "Reached": number(
            "" if reach is None else sentences.reached_words(reach),
            reach.reached if reach and reach.times else None,
        ),
        "Median steps": number(sentences.steps_words(median), median),
        "Mean steps": number(sentences.steps_words(mean), mean),
        f"Steps against {analysis.reference}": number(
            sentences.gap_words(task, result, analysis), sentences.low(gap)
        ),
        "Remarks": "; ".join(result.notes),
    }


def cost_per_million(task: TaskResult, microseconds: float | None) -> float | None:
    """Return the cost of a step for a million parameters; None for small models."""
    parameters = task.parameters or 0
    if microseconds is None or parameters < _SCALING_FROM:
        return None
    return 1e6 * microseconds / parameters


def standings(analysis: Analysis) -> Table:
    """Return the contenders over all tasks, the best rank first."""
    across = analysis.across
    ranked = sorted(across.standings, key=lambda s: s.rank.value if s.rank else 1e9)
    return table(
        "All contenders over all tasks",
        (
            {
                "Contender": each.contender,
                **_estimate("Mean rank", "Rank", each.rank, 2),
                "Place without another": sentences.places(across, each.contender),
                **_estimate("Score", "Score", each.score, 3),
                "Profile to 4x": number(sentences.fixed(each.area, 2), each.area),
            }
            for each in ranked
        ),
    )


def _estimate(head: str, name: str, found: Estimate | None, digits: int) -> Row:
    """Return an estimate with its two intervals."""
    value = found.value if found else None
    row = {head: number(sentences.fixed(value, digits), value)}
    for kind in ("these", "like_these"):
        interval = getattr(found, kind, None)
        row[f"{name}, {sentences.KINDS[kind]}"] = number(
            sentences.ends(interval, digits), sentences.low(interval)
        )
    return row


def troubles(analysis: Analysis) -> Table:
    """Return the runs that went wrong, failures first.

    Those that differ in nothing but rates with the same seeds stand in one row.
    """
    seeds: dict[tuple[str, str, str, str], dict[float, set[int]]] = {}
    for t in analysis.troubles:
        key = (t.kind, t.task, t.contender, t.error or "")
        seeds.setdefault(key, {}).setdefault(t.lr, set()).add(t.seed)
    lrs: dict[tuple[str, ...], dict[tuple[int, ...], list[float]]] = {}
    for key, at in seeds.items():
        for lr in sorted(at):
            lrs.setdefault(key, {}).setdefault(tuple(sorted(at[lr])), []).append(lr)
    kinds = ("failed", "missing", "diverged")
    return table(
        "Diverged, failed and missing runs",
        (
            {
                "What": key[0],
                "Task": key[1],
                "Contender": key[2],
                "Learning rates": number(words.rates(rates), rates[0]),
                "Seeds": ", ".join(map(str, own)),
                "Message": key[3],
            }
            for key in sorted(lrs, key=lambda key: kinds.index(key[0]))
            for own, rates in lrs[key].items()
        ),
        long=("Seeds", "Message"),
    )


def controls(analysis: Analysis) -> Table:
    """Return the comparisons whose outcome is known."""
    return table(
        "Controls and how they came out",
        (
            {
                "Control": control.name,
                "Outcome": Cell(
                    sentences.outcome(control),
                    tone="worse" * (control.passed is False),
                ),
                "Found": control.words,
            }
            for control in analysis.controls
        ),
        long=("Control", "Found"),
    )


def claims(ledger: LedgerRows) -> Table:
    """Return the claims of the papers with their verdicts."""
    return table(
        "Claims of the papers with their verdicts",
        (
            {
                "Claim": entry.name,
                "Paper": entry.paper,
                "Verdict": Cell(entry.verdict, None, entry.tone, entry.sign),
                "What the paper says, paraphrased": entry.sentence,
            }
            for entry in ledger.entries
        ),
        long=("What the paper says, paraphrased",),
    )
