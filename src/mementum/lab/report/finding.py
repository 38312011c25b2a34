"""What a comparison found, in a sentence, and what that rests on."""

from __future__ import annotations

from collections.abc import Sequence

from mementum.lab.report import number_words, stage_words
from mementum.lab.report.number_words import count, listed
from mementum.lab.statistics import Analysis, TaskResult, Verdict

_ENOUGH = 6
"""Tasks from which ranks over all say something: resamples of fewer are too alike."""
_NAMED = 2
"""So many contenders are named; of more, the number is given."""


def headline(analysis: Analysis) -> str:
    """The finding: "AdaXW is better than tuned AdamW on 3 of 15 tasks, worse on none".

    Where no rate could be chosen nothing is found: then it says what was compared.
    """
    reference = number_words.named_reference(analysis)
    rivals = [name for name in analysis.contenders if name != analysis.reference]
    tasks = [task for task in analysis.tasks if task.tuned]
    where = f"on {count(len(analysis.tasks), 'task')}"
    if not rivals:
        return f"{reference[0].upper()}{reference[1:]} alone {where}"
    if bare := _nothing(analysis):
        return bare
    if not tasks:
        return f"{count(len(rivals), 'contender')} tried beside {reference} {where}"
    found = _found(analysis, tasks, rivals)
    return f"Screening: {found}" if analysis.screening else found


def _nothing(analysis: Analysis) -> str:
    """What there is to say where no run has a score; empty where one has."""
    if not analysis.runs_done:
        return "No run has given a result"
    scores = [result.score for task in analysis.tasks for result in task.results]
    return "" if any(each is not None for each in scores) else "Every run diverged"


def _found(
    analysis: Analysis, tasks: Sequence[TaskResult], rivals: Sequence[str]
) -> str:
    """Who is ahead over all tasks, or better somewhere and worse nowhere."""
    reference = number_words.named_reference(analysis)
    if ahead := _ranked_ahead(analysis):
        return f"{_are(ahead)} ranked before {reference} over {_over(analysis)}"
    best, most = _never_worse(tasks, rivals)
    if len(tasks) == 1:
        return f"{_are(best)} better than {reference} on {tasks[0].name}"
    if not best:
        return (
            f"Nobody is shown better than {reference} over {count(len(tasks), 'task')}"
        )
    each = "each " if len(best) > 1 else ""
    return (
        f"{_are(best)} {each}better than {reference} on {most} of {len(tasks)} tasks, "
        "worse on none"
    )


def _over(analysis: Analysis) -> str:
    """The tasks that are put together."""
    return count(len(analysis.across.tasks), "task")


def _are(names: Sequence[str]) -> str:
    """Who is: "AdaXW is", "Adam and AdaXW are", "3 contenders are"."""
    if not names:
        return "Nobody is shown"
    if len(names) > _NAMED:
        return f"{len(names)} contenders are"
    return f"{listed(tuple(names))} {'is' if len(names) == 1 else 'are'}"


def _ranked_ahead(analysis: Analysis) -> list[str]:
    """Whose rank lies before the reference's, by intervals for tasks like these."""
    ends = {
        each.contender: each.rank.like_these
        for each in analysis.across.standings
        if each.rank is not None
    }
    own = ends.get(analysis.reference)
    if own is None or len(analysis.across.tasks) < _ENOUGH:
        return []
    return [name for name, each in ends.items() if each and each.high < own.low]


def _never_worse(
    tasks: Sequence[TaskResult], rivals: Sequence[str]
) -> tuple[list[str], int]:
    """Who is worse nowhere and better most often, and how often."""
    better: dict[str, int] = {}
    for name in rivals:
        found = [result.verdict for task in tasks if (result := task.result(name))]
        if Verdict.WORSE not in found and Verdict.FAILED not in found:
            better[name] = found.count(Verdict.BETTER)
    most = max(better.values(), default=0)
    return [name for name, often in better.items() if often == most > 0], most


def basis(analysis: Analysis) -> str:
    """What the finding rests on: verdicts, seeds, looks, noise."""
    if _nothing(analysis):
        return (
            f"{count(analysis.runs_planned, 'run')} planned; "
            f"{number_words.troubles_words(analysis)}."
        )
    verdicts = number_words.verdicts(analysis)
    parts = []
    if verdicts:
        told = listed([f"{number} {verdict}" for verdict, number in verdicts.items()])
        parts.append(f"Of {count(sum(verdicts.values()), 'verdict')}, {told}.")
        if len(analysis.across.tasks) >= _ENOUGH and not _ranked_ahead(analysis):
            parts.append(
                f"Over all tasks nobody ranks apart from {analysis.reference}."
            )
    parts.append(f"{_seeds(analysis)}{_rates(analysis)}.")
    noisy = [task.name for task in analysis.tasks if task.tuned and not task.ranked]
    if noisy:
        verb = "is" if len(noisy) == 1 else "are"
        parts.append(f"{listed(noisy)} {verb} too noisy to rank.")
    if analysis.runs_done < analysis.runs_planned:
        parts.append(
            f"{analysis.runs_done:,} of {count(analysis.runs_planned, 'run')} gave a "
            "result."
        )
    return " ".join(parts)


def _seeds(analysis: Analysis) -> str:
    """How many seeds judge, and how often they are looked at."""
    chance = [task for task in analysis.tasks if not task.deterministic]
    if not chance:
        return "Deterministic" if analysis.tasks else "No task"
    few = min(len(task.seeds) for task in chance)
    most = max(few, *(task.most_seeds for task in chance))
    noun = "fresh seed" if any(task.design for task in chance) else "seed"
    many = count(most, noun) if few == most else f"{few} to {count(most, noun)}"
    looks = max((stage_words.looks_taken(task) for task in chance), default=0)
    return f"{many} a task" + (f", in up to {looks} looks" if looks > 1 else "")


def _rates(analysis: Analysis) -> str:
    """How many rates were tried, and whose weight decay there was."""
    rates = number_words.rates_tried(analysis)
    common = analysis.weight_decay
    but = "" if common is None else f", a weight decay of {common:g} for everyone"
    return f"; {rates} each{but}" if rates else but
