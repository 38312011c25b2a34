"""The comparison for a terminal: the answer on a screen, the rest where asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mementum.lab.report import finding, number_words, sentences, stage_words
from mementum.lab.statistics import Analysis, Result, TaskResult, Verdict
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
_SCORE_FROM = 76


@dataclass(frozen=True)
class Summary:
    """An analysis that prints itself: the finding and a matrix of signs, on a screen.

    With `details` follow a table for each task, and one over all.
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
        if left := stage_words.open_words(analysis):
            yield Text(left)
        yield from map(Text, analysis.left_out)
        if self.details:
            yield Text()
            yield from _details(analysis, width)
        elif analysis.tasks:
            yield Text("--details shows effects, intervals and ranks.", style="dim")


def table(analysis: Analysis, *, details: bool = False) -> Summary:
    """The analysis as something rich can print."""
    return Summary(analysis, details)


def _details(analysis: Analysis, width: int) -> RenderResult:
    """A table for each task, one over all, and how to read them."""
    for task in analysis.tasks:
        yield _task_title(task)
        yield _task_table(task, analysis.reference, with_score=width >= _SCORE_FROM)
        yield from _task_notes(task, analysis.reference)
        yield Text()
    if len(analysis.across.tasks) > 1:
        yield _standings(analysis)
        yield Text()
    yield from _closing(analysis)


def _verdict_text(verdict: Verdict) -> Text:
    """A verdict as a coloured word."""
    return Text(verdict.value, style=_STYLES[verdict])


def _matrix(
    analysis: Analysis, width: int, signs: Mapping[Verdict, str]
) -> RenderResult:
    """The signs of all verdicts: tasks down, contenders across, in as many blocks."""
    rivals = [name for name in analysis.contenders if name != analysis.reference]
    if not rivals or not analysis.tasks:
        return
    names = max(len(task.name) for task in analysis.tasks)
    names = min(names, max(_NAME_WIDTH, width // 3))
    many = max(1, (width - names) // (_SIGN_WIDTH + 1))
    for first in range(0, len(rivals), many):
        grid = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False)
        grid.add_column("", overflow="fold", width=names)
        for name in rivals[first : first + many]:
            grid.add_column(Text(name), overflow="fold", width=_SIGN_WIDTH)
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


def _task_table(task: TaskResult, reference: str, *, with_score: bool) -> Table:
    """One row a contender: verdict, effect with interval, learning rate."""
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("", overflow="fold", max_width=20)
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("effect")
    if with_score:
        grid.add_column("score", justify="right", no_wrap=True)
    grid.add_column("lr", no_wrap=True)
    for result in task.results:
        score = [number_words.score_words(result.score)] if with_score else []
        grid.add_row(
            Text(result.contender),
            _verdict_text(result.verdict),
            _effect_text(result, task, reference),
            *score,
            number_words.rate_words(result, "..") + ("*" if result.choice.edge else ""),
        )
    return grid


def _effect_text(result: Result, task: TaskResult, reference: str) -> Text:
    """The effect with its interval; for an open verdict also what could be seen."""
    contrast = result.contrast
    if contrast is None or result.verdict is Verdict.FAILED:
        return Text()
    text = Text(number_words.effect_words(contrast, task))
    if contrast.detectable is not None and result.verdict is Verdict.INCONCLUSIVE:
        seen = number_words.size_words(contrast.detectable, task)
        text.append(f"\ndetectable: {seen}", style="dim")
        if needed := stage_words.need(result, task, reference):
            text.append(f"\n{needed}", style="dim")
    return text


def _task_notes(task: TaskResult, reference: str) -> list[Padding]:
    """What qualifies the verdicts of a task, one line each."""
    lines = [Text(task.question, style="bold")] if task.question else []
    if told := stage_words.step_costs(task, reference):
        lines.append(Text(told.replace("\N{MICRO SIGN}", "u"), style="dim"))
    if card := stage_words.noise(task):
        lines.append(Text(card, style="dim"))
    if told := stage_words.most_regret(task):
        lines.append(Text(told, style="dim"))
    lines += [
        Text(f"{result.contender}: {note}", style="dim")
        for result in task.results
        for note in of_choice(result.choice)
        if note != EDGE
    ]
    if any(result.choice.edge for result in task.results):
        edge = "* at the edge of its grid: a better rate may lie outside"
        lines.append(Text(edge, style="dim"))
    return [Padding(line, (0, 0, 0, 2)) for line in lines]


def _standings(analysis: Analysis) -> Table:
    """Every contender over all tasks: rank with its interval, score, profile."""
    across = analysis.across
    title = f"Over {number_words.count(len(across.tasks), 'task')}"
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column(Text(title), overflow="fold", max_width=20)
    grid.add_column("mean rank")
    grid.add_column("place")
    grid.add_column("score, 1 is tuned", justify="right")
    grid.add_column("profile", justify="right")
    for each in across.standings:
        rank, score = each.rank, each.score
        between = sentences.ends(rank.like_these if rank else None, 1)
        grid.add_row(
            Text(each.contender),
            Text(f"{sentences.fixed(rank.value if rank else None, 1)} {between}"),
            sentences.places(across, each.contender),
            sentences.fixed(score.value if score else None, 2),
            sentences.fixed(each.area, 2),
        )
    return grid


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
