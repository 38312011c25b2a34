"""The verdicts of a comparison as a table for a notebook."""

from __future__ import annotations

from mementum.family import markup
from mementum.lab.report.finding import headline
from mementum.lab.report.number_words import NONE, mean_words, screening_words
from mementum.lab.report.sentences import SIGNS, alarm, untuned_words
from mementum.lab.statistics import Analysis, TaskResult, Verdict


def html(analysis: Analysis) -> str:
    """Return the finding, and the verdicts with their effects: tasks down.

    What forbids to trust or to rank them stands first.
    """
    rivals = [name for name in analysis.contenders if name != analysis.reference]
    rows = [
        [task.name, *(_cell(task, contender) for contender in rivals)]
        for task in analysis.tasks
    ]
    said = [alarm(analysis), headline(analysis)]
    said += [screening_words(analysis), untuned_words(analysis)]
    caption = f"Against {analysis.reference}: the change of the score, less is better"
    table = markup.table([["", *rivals], *rows], caption=caption)
    return "\n".join([*map(markup.paragraph, filter(None, said)), table])


def _cell(task: TaskResult, contender: str) -> str:
    """A verdict with its sign and effect: "▲ better -12.3 %"."""
    result = task.result(contender)
    if result is None:
        return NONE
    told = f"{SIGNS[result.verdict]} {result.verdict.value}"
    contrast = result.contrast
    if contrast is None or contrast.mean is None or result.verdict is Verdict.FAILED:
        return told
    return f"{told} {mean_words(contrast, task)}"
