"""The comparison for a terminal: the answer on a screen, the rest where asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mementum.lab.report import finding, number_words, sentences, stage_words, tables
from mementum.lab.statistics import Analysis, TaskResult, Verdict
from mementum.lab.statistics.remarks import EDGE, of_choice

_STYLES = {
    Verdict.BETTER: "bold green",
    Verdict.WORSE: "bold red",
    Verdict.EQUIVALENT: "cyan",
    Verdict.INCONCLUSIVE: "",
    Verdict.REFERENCE: "dim",
    Verdict.FAILED: "bold magenta",
}
_SIGNS = sentences.SIGNS
_LETTERS = {
    Verdict.BETTER: "B",
    Verdict.WORSE: "W",
    Verdict.EQUIVALENT: "=",
    Verdict.INCONCLUSIVE: "?",
    Verdict.REFERENCE: ".",
    Verdict.FAILED: "X",
}
"""The signs, where there is ASCII alone."""
_NAME_WIDTH = 12
_SIGN_WIDTH = 5


@dataclass(frozen=True)
class Summary:
    """An analysis that prints itself: the finding and a matrix of signs, on a screen.

    One task has its effects beside it. With `details` follow a table for each task, and
    one over all.
    """

    analysis: Analysis
    details: bool = False

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Yield the parts from top to bottom."""
        analysis, width = self.analysis, options.max_width
        if warning := sentences.alarm(analysis):
            yield Text(warning, style="bold red")
        yield Text(finding.headline(analysis), style="bold")
        yield Text(finding.basis(analysis))
        for said in (
            number_words.screening_words(analysis),
            sentences.untuned_words(analysis),
        ):
            yield from [Text(said)] if said else []
        signs = _SIGNS if "utf" in options.encoding.lower() else _LETTERS
        yield from _matrix(analysis, width, signs)
        yield from map(Text, analysis.left_out)
        more = "" if self.details or not analysis.tasks else "--details shows more."
        yield Text(f"{stage_words.open_words(analysis)} {more}".strip())
        if self.details:
            yield Text()
            yield from _details(analysis)
        elif len(analysis.tasks) == 1:
            yield _task_title(analysis.tasks[0])
            yield _task_table(analysis.tasks[0], analysis)


def table(analysis: Analysis, *, details: bool = False) -> Summary:
    """The analysis as something rich can print."""
    return Summary(analysis, details)


def _details(analysis: Analysis) -> RenderResult:
    """A table for each task, one over all, and how to read them."""
    for task in analysis.tasks:
        yield _task_title(task)
        yield _task_table(task, analysis)
        yield from _task_notes(task, analysis.reference)
        yield Text()
    if len(analysis.across.tasks) > 1:
        yield _standings(analysis)
        yield Text()
    yield from _closing(analysis)


def _matrix(
    analysis: Analysis, width: int, signs: Mapping[Verdict, str]
) -> RenderResult:
    """The signs of all verdicts: tasks down, contenders across, in as many blocks."""
    rivals = [name for name in analysis.contenders if name != analysis.reference]
    if not rivals or not analysis.tasks:
        return
    names = max(len(task.name) for task in analysis.tasks)
    names = min(names, max(_NAME_WIDTH, width // 3))
    room = (width - names) // len(rivals) - 1
    wide = max(_SIGN_WIDTH, min(room, max(map(len, rivals))))
    many = max(1, (width - names) // (wide + 1))
    for first in range(0, len(rivals), many):
        grid = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False)
        grid.add_column("", overflow="fold", width=names)
        for name in rivals[first : first + many]:
            grid.add_column(Text(name), overflow="fold", width=wide)
        for task in analysis.tasks:
            found = [task.result(name) for name in rivals[first : first + many]]
            cells = [
                Text(signs[each.verdict], style=_STYLES[each.verdict])
                if each
                else Text(number_words.NONE)
                for each in found
            ]
            grid.add_row(Text(task.name), *cells)
        yield grid
    told = dict.fromkeys(
        result.verdict
        for task in analysis.tasks
        for result in task.results
        if result.contender != analysis.reference
    )
    words = [f"{signs[each]} {each}" for each in Verdict if each in told]
    against = number_words.named_reference(analysis)
    yield Text(f"{', '.join(words)}: against {against}.", style="dim")


def _task_title(task: TaskResult) -> Text:
    """The task, what it measures and how."""
    title = Text.assemble((task.name, "bold"), f"  {task.title}")
    title.append(
        f"\n{task.metric}\n{task.steps:,} steps, {stage_words.seeds(task)}, "
        f"equivalent within {number_words.margin_words(task)}",
        style="dim",
    )
    return title


def _task_table(task: TaskResult, analysis: Analysis) -> Table:
    """One row a contender: verdict, effect with interval, learning rate, regret."""
    grid = _grid()
    grid.add_column("", overflow="fold", max_width=20)
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("effect, learning rate")
    for result in task.results:
        grid.add_row(
            Text(result.contender),
            Text(result.verdict.value, style=_STYLES[result.verdict]),
            Text("; ".join(sentences.card(result, task, analysis))),
        )
    return grid


def _task_notes(task: TaskResult, reference: str) -> list[Padding]:
    """What qualifies the verdicts of a task, one line each."""
    asked = sentences.question(task)
    lines = [Text(asked, style="bold")] if asked else []
    said = [
        stage_words.step_costs(task, reference).replace("\N{MICRO SIGN}", "u"),
        stage_words.noise(task),
        stage_words.most_regret(task),
        *(
            f"{result.contender}: {note}"
            for result in task.results
            for note in of_choice(result.choice)
            if note != EDGE
        ),
    ]
    lines += [Text(line, style="dim") for line in said if line]
    return [Padding(line, (0, 0, 0, 2)) for line in lines]


def _standings(analysis: Analysis) -> Table:
    """Every contender over all tasks, the best rank first."""
    found = tables.standings(analysis)
    grid = _grid()
    shown = []
    for place, column in enumerate(found.columns):
        # The others are on the page.
        if not column.head.endswith(", these tasks"):
            grid.add_column(Text(column.head), max_width=14)
            shown.append(place)
    for row in found.rows:
        grid.add_row(*(Text(row[place].text) for place in shown))
    return grid


def _grid() -> Table:
    """A table without lines."""
    return Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")


def _closing(analysis: Analysis) -> list[Text]:
    """What holds for all tables, in a few lines."""
    reading = (
        "Effect: change of the score against the reference, negative is better, with "
        f"the interval its verdict rests on ({number_words.level(analysis)}, "
        f"{number_words.adjusted(analysis)}). Better or worse: all of it lies "
        "beyond the margin. Equivalent: all of it lies within."
    )
    if analysis.tuned:
        reading += " Learning rates are chosen on other seeds than they are scored on."
    if any(task.design for task in analysis.tasks):
        reading += " Scores are over the seeds that all contenders have."
    lines = [reading]
    if len(analysis.across.tasks) > 1:
        lines.append(
            "Place: by mean rank, best and worst with any other contender left out. "
            "Profile: area under the performance profile of times to target, up to 4 "
            "times the fastest."
        )
    if troubles := number_words.troubles_words(analysis):
        planned = number_words.count(analysis.runs_planned, "run")
        lines.append(f"Of {planned} planned: {troubles}.")
    return [Text(line) for line in lines]
