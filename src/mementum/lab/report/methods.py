"""The methods paragraph: what was done, in sentences to paste into a paper."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from mementum import Memory
from mementum.lab.planning.schedule import SCHEDULES
from mementum.lab.planning.search_spaces import KAPPA, SHORTEST
from mementum.lab.records.run import CONSTANT
from mementum.lab.report import number_words, sentences, stage_words
from mementum.lab.report.number_words import listed
from mementum.lab.statistics import Analysis, Result, TaskResult
from mementum.lab.statistics.verdicts import DECISIVE_DIVERGENCES


def paragraphs(analysis: Analysis) -> list[str]:
    """The methods, a paragraph for each part of the protocol."""
    found = [
        _design(analysis),
        _tuning(analysis),
        _inference(analysis),
        _divergences(analysis),
        _arms(analysis),
        _targets(analysis),
        _together(analysis),
        _controls(analysis),
        _memory(analysis),
        _software(analysis),
    ]
    return [paragraph for paragraph in found if paragraph]


def _design(analysis: Analysis) -> str:
    """Tasks, contenders, seeds, number of runs."""
    tasks = "; ".join(_task_words(task) for task in analysis.tasks)
    rates = number_words.rates_tried(analysis) or "no learning rates"
    return (
        f"We compared {listed(analysis.contenders)} on "
        f"{number_words.count(len(analysis.tasks), 'task')}: {tasks}. "
        f"Every contender was trained at {rates}, a logarithmic grid "
        f"centred on its published default{_everywhere(analysis)}. "
        f"{_widening(analysis)} A seed fixes initial values, data order and split for "
        f"all contenders (common random numbers). {_schedules(analysis)} "
        f"{_published(analysis)}: {_options(analysis)}. "
        f"The plan holds {number_words.count(analysis.runs_planned, 'run')}, of which "
        f"{analysis.runs_done:,} gave a result."
    )


def _everywhere(analysis: Analysis) -> str:
    """With which seeds the whole grid was run, where there is no pilot."""
    staged = any(task.design for task in analysis.tasks)
    return "" if staged else ", with every seed of a task"


def _widening(analysis: Analysis) -> str:
    """What is done about a grid whose end was chosen."""
    text = "Grids begin with equal size and width."
    if not analysis.widen:
        return f"{text} One whose end was chosen is flagged, and not widened."
    return (
        f"{text} One whose end was chosen is widened there by two rates, "
        f"{number_words.count(analysis.widen, 'time')} at most, and flagged if an end "
        "is chosen still; the sizes given count the added rates."
    )


def _schedules(analysis: Analysis) -> str:
    """Under which schedules the tasks were trained."""
    words = {
        name: words
        for name, words in SCHEDULES.items()
        if name != CONSTANT and any(t.schedule == name for t in analysis.tasks)
    }
    if not words:
        return "Learning rates were constant over a run."
    told = listed([f'"+{name}" ({text})' for name, text in words.items()])
    return (
        f"Learning rates were constant over a run, except on tasks named {told}; the "
        "rate on the grid is then the highest of the schedule."
    )


def _published(analysis: Analysis) -> str:
    """What the hyperparameters are besides the learning rate."""
    decay = analysis.weight_decay
    if decay is None:
        return (
            "All other hyperparameters, weight decay included, were left at their "
            "published defaults and differ between contenders"
        )
    kind = "decoupled from the gradient"
    if "SGD" in analysis.contenders:
        kind += "; torch's SGD, which cannot, adds it to the gradient"
    given = f"{decay:g} for every contender ({kind})" if decay else "0 for everyone"
    return (
        f"Weight decay was {given}. All other hyperparameters were left at their "
        "published defaults and differ between contenders"
    )


def _task_words(task: TaskResult) -> str:
    """A task with its metric and its budget."""
    return (
        f"{task.name} ({task.title}; {task.metric}, lower is better; "
        f"{task.steps:,} steps, {stage_words.seeds(task)})"
    )


def _options(analysis: Analysis) -> str:
    """The hyperparameters of every contender besides the learning rate.

    A matched memory differs from task to task; it stands for the first.
    """
    found: dict[str, Mapping[str, object]] = {}
    for task in analysis.tasks:
        for result in task.results:
            found.setdefault(result.contender, result.options)
    words = {
        name: ", ".join(f"{key} {option_words(value)}" for key, value in own.items())
        for name, own in found.items()
    }
    return "; ".join(f"{name} ({own})" for name, own in words.items())


def option_words(value: object) -> str:
    """A hyperparameter as it would be typed."""
    if isinstance(value, list | tuple):
        return f"({', '.join(option_words(each) for each in value)})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _tuning(analysis: Analysis) -> str:
    """How the learning rate was chosen."""
    text = stage_words.design(analysis) or (
        "Learning rates were chosen by cross-fitting: the rate for seed s is the one "
        "with the lowest mean score over the other seeds, and seed s is scored at that "
        "rate, by the last iterate. No seed's own runs take part in choosing the rate "
        "it is scored at."
    )
    text += (
        " A diverged run counts as worse than any score; ties go to the rate nearest "
        "the centre of the grid."
    )
    if any(task.deterministic for task in analysis.tasks):
        text += " On a deterministic task the best rate of the single run is taken."
    edges = [
        f"{result.contender} on {task.name}"
        for task in analysis.tasks
        for result in task.results
        if result.choice.edge
    ]
    if edges:
        text += (
            f" A chosen rate lies at the edge of the grid for {listed(edges)}; a "
            "better rate may lie outside."
        )
    return text


def _inference(analysis: Analysis) -> str:
    """How the verdicts were reached."""
    margins = "; ".join(_margin(task) for task in analysis.tasks)
    return (
        "Scores were compared with those of "
        f"{number_words.named_reference(analysis)} seed by seed, "
        "as differences of their logarithms, reported in percent, or as plain "
        f"differences where so stated. Equivalence margins: {margins}. A contender is "
        "better or worse if the whole paired-t interval lies beyond the margin, "
        "equivalent if it lies within it, and otherwise inconclusive. The level of the "
        f"interval ({100 * (1 - analysis.alpha):g} %) is "
        f"{number_words.adjusted(analysis)}, so that the interval, the adjusted "
        "p-value and the verdict say the same; p is the smallest level at which the "
        f"interval lies in one region. {_approximate(analysis)}With every "
        "inconclusive verdict stands the true effect that would have been found with "
        f"probability {100 * analysis.power:g} %. "
        + number_words.screening_words(analysis)
    ).rstrip()


def _approximate(analysis: Analysis) -> str:
    """What cross-fitting does to intervals; empty where fresh seeds judge."""
    if any(task.design for task in analysis.tasks):
        return ""
    return (
        "Intervals are approximate, because the choices for different seeds share "
        "runs. "
    )


def _margin(task: TaskResult) -> str:
    """The margin of a task, with its scale."""
    kind = "of the score" if task.scale == "log" else "as a plain difference"
    return f"{number_words.margin_words(task)} {kind} on {task.name}"


def _divergences(analysis: Analysis) -> str:
    """What diverged runs count for; empty if there are none."""
    if not any(trouble.kind == "diverged" for trouble in analysis.troubles):
        return ""
    return (
        "A pair of runs in which one diverged has no finite difference. It can confirm "
        "a verdict or void it, never make a contender that diverged better or "
        f"equivalent. A contender that diverged on all of at least "
        f"{DECISIVE_DIVERGENCES} seeds on which the reference finished is worse, and "
        f"the other way round. In all, {number_words.troubles_words(analysis)}."
    )


def _arms(analysis: Analysis) -> str:
    """The other ways of tuning, from the same runs."""
    names = {arm.name for arm in analysis.arms}
    free = analysis.weight_decay is None
    found = []
    if "default" in names:
        found.append(
            "The same comparison was made of all contenders as published, without any "
            "tuning, from the runs at the centre of each grid."
        )
    if "full" in names:
        counts = [
            result.settings
            for arm in analysis.arms
            if arm.name == "full"
            for task in arm.tasks
            for result in task.results
        ]
        found.append(
            "It was also made with all hyperparameters tuned: each contender chose, in "
            f"the same way, from {max(counts, default=0)} settings, the "
            "published default and points of a scrambled Halton sequence over learning "
            f"rate, momentum, memory{', eps' if free else ' and eps'}"
            f"{' and weight decay' if free else ''} on logarithmic ranges."
        )
    return " ".join(found)


def _targets(analysis: Analysis) -> str:
    """Which targets there are and what is done with them."""
    timed = [task for task in analysis.tasks if task.target is not None]
    bare = [task.name for task in analysis.tasks if task.target is None]
    if not timed:
        return "No target is set for these tasks in this size and version."
    goals = "; ".join(
        f"{number_words.score_words(task.target)} on {task.name}" for task in timed
    )
    text = (
        "Targets were set beforehand, whoever takes part. For the lab's own tasks SGD, "
        "Adam and AdamW were tuned over 15 learning rates each, the best of them ran "
        "with 20 more seeds, and its median metric at three quarters of the steps is "
        f"the target ({goals}). The time of a run is the first crossing on an "
        "evaluation grid that is common to all; a run that misses the target is "
        "censored at the budget, so that shares are Kaplan-Meier estimates and means "
        "are restricted means."
    )
    if bare:
        text += (
            f" {listed(bare)} {'has' if len(bare) == 1 else 'have'} no target: none is "
            "set for this version, size and data, or the metric is as good before "
            "training."
        )
    return text


def _together(analysis: Analysis) -> str:
    """How tasks were put together; empty for a single task."""
    across = analysis.across
    if len(across.tasks) < 2:
        return ""
    text = (
        f"Over the {len(across.tasks)} tasks with complete results, mean ranks are "
        "given with percentile bootstrap intervals from 10,000 resamples, of the seeds "
        "within tasks, and of the families of tasks as well; learning rates were "
        "chosen anew in every resample. Ranks are also given with each other contender "
        f"left out. {sentences.kinship(analysis)}"
    )
    if across.timed:
        text += (
            f" On {number_words.count(len(across.timed), 'task')} with a target, times "
            "to it were compared as performance profiles up to 4 times the fastest "
            "median."
        )
    if across.scored:
        text += (
            f" On {number_words.count(len(across.scored), 'task')}, scores were "
            "normalised on the task's scale to 0 before training and 1 at the median "
            "of the runs that set the target, at their last step, both frozen with it, "
            "and summarised by the interquartile mean."
        )
    return text


def _controls(analysis: Analysis) -> str:
    """Which controls were made, and how they came out."""
    made = [control for control in analysis.controls if control.passed is not None]
    if not made:
        return ""
    failed = [control.name for control in made if not control.passed]
    outcome = f"These failed: {listed(failed)}." if failed else "All came out as known."
    names = "; ".join(control.name for control in made)
    return f"Controls with a known outcome were made: {names}. {outcome}"


def _software(analysis: Analysis) -> str:
    """Versions and data."""
    versions = listed([f"{name} {v}" for name, v in analysis.versions.items()])
    data = ", ".join(f"{task.name} {task.data[:16]}" for task in analysis.tasks)
    return f"Software: {versions}. Data (start of the SHA-256): {data}."


def _memory(analysis: Analysis) -> str:
    """How long the memories are in these runs; empty without a growing memory."""
    found = [
        words for task in analysis.tasks if (words := _kappas(task, analysis.matched))
    ]
    matched = _matching(analysis)
    if not found and not matched:
        return ""
    told = f" Here it is: {'; '.join(found)}." if found else ""
    return (
        "The horizon kappa = steps x log(memory ratio) says how far a growing memory "
        "of squared gradients departs from the plain average of AdamNC, whose kappa is "
        f"0.{told} The published settings were made for runs "
        "of some 70,000 steps (kappa about 7). Where kappa is well below 1, AdaX, "
        "AdamNX and AdamNC have nearly the same memory, and differences between them "
        f"come from bias correction, eps, weight decay and the learning rate.{matched}"
    )


def _matching(analysis: Analysis) -> str:
    """What a matched memory is; empty where nobody has one."""
    names = [name for name in analysis.contenders if name in analysis.matched]
    if not names:
        return ""
    return (
        f" {listed(names)} have the memory whose kappa is {KAPPA:g} over the steps of "
        f"each task, or over {SHORTEST} where there are fewer, in place of the "
        "published beta2 (given above for the first task)."
    )


def _kappas(task: TaskResult, matched: Container[str]) -> str:
    """The published horizons on one task: "on lm-bytes AdaXW 0.03"; empty if none."""
    found = [
        f"{result.contender} {task.steps * log_ratio:.2g}"
        for result in task.results
        if result.contender not in matched
        and (log_ratio := _log_ratio_of(result)) is not None
    ]
    return f"on {task.name} {', '.join(found)}" if found else ""


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
