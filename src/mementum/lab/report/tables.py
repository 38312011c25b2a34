"""The tables of the page that are more than a list of results: costs and troubles."""

from collections.abc import Iterable
from dataclasses import dataclass

from mementum.lab.statistics import Analysis, TaskResult, Trouble

SCALING_FROM = 100_000
"""Parameters below which a step's cost is that of the call, not of the parameters."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a step costs in the optimizer, and how that compares within its task."""

    microseconds: float
    per_million: float | None
    share: float


def costs(analysis: Analysis) -> dict[str, list[Cost | None]]:
    """For every contender its cost on every task; None without a finished run."""
    return {
        contender: [cost(task, contender) for task in analysis.tasks]
        for contender in analysis.contenders
    }


def cost(task: TaskResult, contender: str) -> Cost | None:
    """The cost of a contender on a task, as a share of the most expensive one."""
    result = task.result(contender)
    own = None if result is None else result.microseconds_per_step
    if own is None:
        return None
    most = max(r.microseconds_per_step or 0.0 for r in task.results)
    parameters = task.parameters or 0
    return Cost(
        microseconds=own,
        per_million=1e6 * own / parameters if parameters >= SCALING_FROM else None,
        share=own / most if most else 0.0,
    )


@dataclass(frozen=True, kw_only=True)
class Group:
    """Troubles that differ in nothing but the seed."""

    task: str
    contender: str
    kind: str
    lr: float
    seeds: tuple[int, ...]
    error: str | None


def grouped(troubles: Iterable[Trouble]) -> list[Group]:
    """Troubles that differ in the seed alone as one; failures first."""
    seeds: dict[tuple[str, str, str, float, str | None], list[int]] = {}
    for t in troubles:
        key = (t.kind, t.task, t.contender, t.lr, t.error)
        seeds.setdefault(key, []).append(t.seed)
    kinds = ("failed", "missing", "diverged")
    ordered = sorted(seeds, key=lambda key: kinds.index(key[0]))
    return [
        Group(
            kind=kind,
            task=task,
            contender=contender,
            lr=lr,
            error=error,
            seeds=tuple(sorted(seeds[kind, task, contender, lr, error])),
        )
        for kind, task, contender, lr, error in ordered
    ]
