"""The methods paragraph: what was done, in sentences to paste into a paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mementum import Memory
from mementum.lab.planning.schedule import SCHEDULES
from mementum.lab.planning.search_spaces import KAPPA, SHORTEST
from mementum.lab.records.run import CONSTANT
from mementum.lab.report import stage_words
from mementum.lab.report.templating import environment
from mementum.lab.statistics import Analysis, Result
from mementum.lab.statistics.verdicts import DECISIVE_DIVERGENCES


def paragraphs(analysis: Analysis) -> list[str]:
    """The methods, a paragraph for each part of the protocol."""
    text = environment().get_template("methods.txt.j2").render(
        analysis=analysis,
        design=stage_words.design(analysis),
        schedules=[
            f'"+{name}" ({words})'
            for name, words in SCHEDULES.items()
            if name != CONSTANT and any(t.schedule == name for t in analysis.tasks)
        ],
        options=list(_options(analysis)),
        edges=[
            f"{result.contender} on {task.name}"
            for task in analysis.tasks
            for result in task.results
            if result.choice.edge
        ],
        decisive=DECISIVE_DIVERGENCES,
        arms={
            arm.name: max((r.settings for t in arm.tasks for r in t.results), default=0)
            for arm in analysis.arms
        },
        kappas=list(_kappas(analysis)),
        matched=[name for name in analysis.contenders if name in analysis.matched],
        kappa=KAPPA,
        shortest=SHORTEST,
        versions=[f"{name} {version}" for name, version in analysis.versions.items()],
    )  # fmt: skip
    joined = (" ".join(each.split()) for each in text.split("\n\n"))
    return [each for each in joined if each]


def _options(analysis: Analysis) -> Iterator[str]:
    """The hyperparameters of every contender besides the learning rate.

    A matched memory differs from task to task; it stands for the first.
    """
    found: dict[str, Mapping[str, object]] = {}
    for task in analysis.tasks:
        for result in task.results:
            found.setdefault(result.contender, result.options)
    for name, own in found.items():
        told = ", ".join(f"{key} {option_words(value)}" for key, value in own.items())
        yield f"{name} ({told})"


def option_words(value: object) -> str:
    """A hyperparameter as it would be typed."""
    if isinstance(value, list | tuple):
        return f"({', '.join(option_words(each) for each in value)})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kappas(analysis: Analysis) -> Iterator[str]:
    """The published horizons on every task: "on lm-bytes AdaXW 0.03"."""
    for task in analysis.tasks:
        found = [
            f"{result.contender} {task.steps * log_ratio:.2g}"
            for result in task.results
            if result.contender not in analysis.matched
            and (log_ratio := _log_ratio_of(result)) is not None
        ]
        if found:
            yield f"on {task.name} {', '.join(found)}"


def _log_ratio_of(result: Result) -> float | None:
    """The log of the memory ratio, where a contender's memory grows without bound."""
    settings: Mapping[str, Any] = result.options
    match result.contender:
        case "AdaX" | "AdaXW" if "betas" in settings:
            return float(Memory.adax(settings["betas"][1]).log_ratio)
        case "AdamNX" if "betas" in settings:
            return float(Memory.adamnx(settings["betas"][1]).log_ratio)
        case "AdamNC":
            return 0.0
    return None
