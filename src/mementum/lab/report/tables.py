"""The tables of the page that are more than a list of results: costs and troubles."""

from collections.abc import Iterable, Mapping
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
    """Troubles that differ in nothing but the learning rate and the seed."""

    task: str
    contender: str
    kind: str
    error: str | None
    lrs: tuple[float, ...]
    seeds: tuple[int, ...]
    """The seeds at each of these rates."""


def grouped(troubles: Iterable[Trouble]) -> list[Group]:
    """Troubles at the same seeds of several learning rates as one; failures first."""
    seeds: dict[tuple[str, str, str, str | None], dict[float, set[int]]] = {}
    for t in troubles:
        key = (t.kind, t.task, t.contender, t.error)
        seeds.setdefault(key, {}).setdefault(t.lr, set()).add(t.seed)
    kinds = ("failed", "missing", "diverged")
    ordered = sorted(seeds, key=lambda key: kinds.index(key[0]))
    return [
        Group(kind=kind, task=task, contender=contender, error=error, lrs=lrs, seeds=of)
        for kind, task, contender, error in ordered
        for of, lrs in alike(seeds[kind, task, contender, error]).items()
    ]


def alike(seeds: Mapping[float, set[int]]) -> dict[tuple[int, ...], tuple[float, ...]]:
    """The learning rates with the same seeds, ascending, under these seeds."""
    found: dict[tuple[int, ...], tuple[float, ...]] = {}
    for lr in sorted(seeds):
        of = tuple(sorted(seeds[lr]))
        found[of] = (*found.get(of, ()), lr)
    return found
