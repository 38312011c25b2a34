"""The verdicts of a comparison as a table for a notebook."""

from __future__ import annotations

from mementum.family import markup
from mementum.lab.report.number_words import mean_words
from mementum.lab.statistics import Analysis, TaskResult, Verdict

# Those of the page.
_SIGNS = {
    Verdict.BETTER: "▲",
    Verdict.WORSE: "▼",
    Verdict.EQUIVALENT: "=",
    Verdict.INCONCLUSIVE: "?",
    Verdict.REFERENCE: "·",
    Verdict.FAILED: "✕",
}
_NONE = "-"


def html(analysis: Analysis) -> str:
    """Return the verdicts with their effects: tasks down, contenders across.

    What forbids to trust or to rank them stands first.
    """
    rivals = [name for name in analysis.contenders if name != analysis.reference]
    rows = [
        [task.name, *(_cell(task, contender) for contender in rivals)]
        for task in analysis.tasks
    ]
    caption = f"Against {analysis.reference}: the change of the score, less is better"
    table = markup.table([["", *rivals], *rows], caption=caption)
    return "\n".join([*map(markup.paragraph, _warnings(analysis)), table])


def _cell(task: TaskResult, contender: str) -> str:
    """A verdict with its sign and effect: "▲ better -12.3 %"."""
    result = task.result(contender)
    if result is None:
        return _NONE
    told = f"{_SIGNS[result.verdict]} {result.verdict.value}"
    contrast = result.contrast
    if contrast is None or contrast.mean is None or result.verdict is Verdict.FAILED:
        return told
    return f"{told} {mean_words(contrast, task)}"


def _warnings(analysis: Analysis) -> list[str]:
    """What a reader must know before the verdicts."""
    told = [
        f"A control fails, do not trust what follows. {control.name}: {control.words}."
        for control in analysis.failed_controls
    ]
    if analysis.tasks and not analysis.tuned:
        told.append("Too few learning rates or seeds to rank or to call tuned.")
    elif analysis.screening:
        told.append("So few seeds make a screening: a verdict suggests, no more.")
    return told
