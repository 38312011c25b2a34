"""What ``mementum tasks`` and ``mementum contenders`` list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from mementum.lab.planning import contender
from mementum.lab.planning.forecast import START, waiting
from mementum.lab.planning.own import registry
from mementum.lab.planning.stages import pilot_runs
from mementum.lab.planning.tiers import SPENDING, Spending
from mementum.lab.records.plan import Design
from mementum.lab.report.methods import option_words
from mementum.lab.tasks import targets
from mementum.lab.tasks.registry import of_tier, offered
from mementum.lab.tasks.task import Task, Tier

_COLUMNS = 80


def tasks() -> Table:
    """Return the tasks and what they are."""
    table = Table("task", "what it is", box=None, pad_edge=False)
    for task in offered():
        table.add_row(task.name, task.title)
    return table


def sizes() -> Table:
    """Return the steps of every task in every tier, and the seconds of a run."""
    table = Table(box=None, pad_edge=False)
    table.add_column("task", no_wrap=True)
    for tier in Tier:
        table.add_column(f"{tier}", no_wrap=True)
    for task in offered():
        table.add_row(task.name, *(_size(task.at(tier)) for tier in Tier))
    return table


def _size(task: Task | None) -> str:
    """Return a task's steps and seconds, or nothing where it has no part."""
    if task is None:
        return ""
    digits = ".2g" if task.seconds < 10 else ",.0f"
    return f"{task.steps:,}: {task.seconds:{digits}} s"


def noise() -> Table:
    """Return what the tasks of the quick tier can tell: their noise cards."""
    table = Table(
        *("task", "schedule", "spread", "2 % different", "equals equal", "ranks"),
        box=None,
        pad_edge=False,
    )
    for task in of_tier(Tier.QUICK):
        card = targets.noise(task)
        if task.deterministic:
            table.add_row(task.name, task.usual_schedule, "none", "", "", "yes")
        elif card is not None:
            table.add_row(
                task.name,
                task.usual_schedule,
                f"{100 * card.spread:.2g} %",
                f"{card.effect:,}",
                f"{card.equal:,}",
                "yes" if card.ranks else "no",
            )
    return table


def tiers(workers: int) -> Table:
    """Return what each tier spends on all tasks and all contenders."""
    told = f"with {workers} worker" + "s" * (workers != 1)
    columns = "tier", "tasks", "rates", "pilot", "looks", "trials", "runs", told
    table = Table(*columns, box=None, pad_edge=False)
    for tier in Tier:
        each = outlay(tier, workers)
        pilot = each.design.pilot
        table.add_row(
            tier,
            f"{each.tasks}",
            f"{each.rates}",
            " ".join(f"{keep or 'all'}x{seeds}" for keep, seeds in pilot),
            _looks(each.design),
            f"{each.trials}",
            f"{each.runs:,}",
            waiting(each.seconds),
        )
    return table


class Outlay(NamedTuple):
    """What a tier spends on all tasks and all contenders, and how long it takes."""

    tasks: int
    rates: int
    design: Design
    trials: int
    runs: int
    seconds: float


def outlay(tier: Tier, workers: int) -> Outlay:
    """Return what a tier spends, and its seconds with so many workers."""
    spending = SPENDING[tier]
    found = [task for task in of_tier(tier) if tier not in task.named_only]
    runs = {task.name: _runs(task, spending) for task in found}
    return Outlay(
        len(found),
        spending.rates,
        spending.design(spending.rates, spending.trials, None),
        spending.trials,
        sum(runs.values()),
        START + sum(runs[t.name] * t.seconds for t in found) / workers,
    )


def _looks(design: Design) -> str:
    """Return the looks, those in brackets that are taken only if told."""
    taken = " ".join(map(str, design.looks[: design.reach]))
    rest = " ".join(map(str, design.looks[design.reach :]))
    return f"{taken} ({rest})" if rest else taken


def _runs(task: Task, spending: Spending) -> int:
    """Return how many runs a task has, with looks taken by everyone."""
    tuned = sum(each.matched is None for each in contender.CONTENDERS)
    everyone = len(contender.CONTENDERS)
    if task.deterministic:
        return everyone * spending.rates + tuned * spending.trials
    design = spending.design(spending.rates, spending.trials, None)
    judging = design.looks[spending.reach - 1]
    runs = everyone * (pilot_runs(design, spending.rates) + judging)
    if spending.trials:
        runs += tuned * (pilot_runs(design, spending.trials) + design.looks[0])
    return runs


def contenders() -> Table:
    """Return the contenders with their published hyperparameters."""
    table = Table(
        "contender", "learning rate", "other hyperparameters", box=None, pad_edge=False
    )
    for each in contender.CONTENDERS:
        others = ", ".join(
            f"{name} {option_words(v)}" for name, v in each.options.items()
        )
        table.add_row(each.name, f"{each.lr:g}", others)
    return table


def contender_lines(sources: Sequence[str]) -> list[str]:
    """Return a line of at most 80 columns for each contender, those of sources last."""
    listed = every_contender(sources)
    width = max(len(each.name) for each in listed)
    lines = []
    for each in listed:
        words = [f"{name} {option_words(v)}" for name, v in each.options.items()]
        if each in contender.OTHERS:
            words.insert(0, "for claims")
        words += each.identity.values()
        line = f"{each.name:{width}}  lr {each.lr:<7g} {', '.join(words)}".rstrip()
        lines.append(line if len(line) <= _COLUMNS else f"{line[: _COLUMNS - 1]}…")
    return [*lines, *registry.plugged().complaints]


def every_contender(sources: Sequence[str]) -> list[contender.Contender]:
    """Return the lab's contenders, those of packages, and those of the sources."""
    own = registry.register(sources)
    listed = {each.name: each for each in (*contender.CONTENDERS, *contender.OTHERS)}
    listed |= {each.name: each for each in (*registry.plugged().contenders, *own)}
    return list(listed.values())
