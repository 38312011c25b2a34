"""Controls: comparisons whose outcome is known, made on the records themselves.

If one comes out otherwise, the tasks, the runs or the statistics are not what they
should be, and the report says so before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from scipy import stats

from mementum.lab.statistics.choice import Choice, choose
from mementum.lab.statistics.grid import Grid
from mementum.lab.statistics.verdicts import ALPHA, Verdict, compare

if TYPE_CHECKING:
    from mementum.lab.statistics.task_result import TaskResult

HEAVY_TAIL = "zipf-linear"
_FALSE_ALARM = 0.001
_CLAIMS = (Verdict.BETTER, Verdict.WORSE)


@dataclass(frozen=True, kw_only=True)
class Control:
    """A comparison with a known outcome; `passed` is None where it was not made."""

    name: str
    passed: bool | None
    words: str


def against_itself(tasks: Sequence[TaskResult]) -> Control:
    """Every contender against itself on other seeds is rarely better or worse.

    The seeds of a task are split into two halves in every way, each half chooses its
    own rate by cross-fitting, and the halves are paired in order. A claim is wrong by
    construction, and may happen with probability 5 %. Contenders share their seeds, so
    a task counts once, with the share of its comparisons that made a claim: the control
    fails where the sum of the shares has a chance below 0.1 % if tasks are independent.
    """
    name = "Every contender against itself, on disjoint seeds"
    shares = []
    for task in tasks:
        claims = list(_false_claims(task))
        if claims:
            shares.append(sum(claims) / len(claims))
    if not shares:
        words = "not made: it needs four seeds on a task with chance in it"
        return Control(name=name, passed=None, words=words)
    allowed = int(stats.binom.isf(_FALSE_ALARM, len(shares), ALPHA))
    found = sum(shares) / len(shares)
    return Control(
        name=name,
        passed=sum(shares) <= allowed,
        words=f"called better or worse in {100 * found:.1f} % of comparisons, where "
        f"{100 * ALPHA:g} % are expected and {100 * allowed / len(shares):.0f} % are "
        f"allowed over {len(shares)} task{'' if len(shares) == 1 else 's'}",
    )


def _false_claims(task: TaskResult) -> Iterator[bool]:
    """Whether each split of each contender's seeds claims a difference."""
    if task.deterministic or len(task.seeds) < 4:
        return
    for result in task.results:
        grid = result.choice.grid
        if len(grid.values) < len(grid.lrs) * len(grid.seeds):
            continue
        for one, other in splits(task.seeds):
            mine, reference = _half(grid, one), _half(grid, other)
            (contrast,) = compare(
                [mine],
                reference,
                margin=task.margin_on_scale,
                deterministic=False,
            )
            yield contrast.verdict in _CLAIMS


def splits(seeds: Sequence[int]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Disjoint halves of the seeds, at most twenty ways, each pair once."""
    size = len(seeds) // 2
    first, *rest = seeds[: 2 * size]
    for count, others in enumerate(combinations(rest, size - 1)):
        if count == 20:
            return
        one = (first, *others)
        yield one, tuple(seed for seed in seeds[: 2 * size] if seed not in one)


def _half(grid: Grid, seeds: Sequence[int]) -> Choice:
    """The choice made on these seeds alone, with the seeds renamed to 0, 1, ..."""
    names = {seed: place for place, seed in enumerate(seeds)}
    values = {
        (lr, names[seed]): value
        for (lr, seed), value in grid.values.items()
        if seed in names
    }
    return choose("half", replace(grid, seeds=tuple(names.values()), values=values))


def heavy_tail(tasks: Sequence[TaskResult]) -> Control:
    """Adam beats SGD where the classes of a linear model are heavy-tailed."""
    name = f"Adam better than SGD on {HEAVY_TAIL}"
    task = next((task for task in tasks if task.name.split("+")[0] == HEAVY_TAIL), None)
    adam = task.result("Adam") if task else None
    sgd = task.result("SGD") if task else None
    if task is None or adam is None or sgd is None or not task.tuned:
        words = (
            f"not made: it needs Adam and SGD on {HEAVY_TAIL}, with three learning "
            "rates and four seeds"
        )
        return Control(name=name, passed=None, words=words)
    (contrast,) = compare(
        [adam.choice],
        sgd.choice,
        margin=task.margin_on_scale,
        deterministic=task.deterministic,
    )
    if contrast.verdict is Verdict.FAILED or contrast.mean is None:
        return Control(name=name, passed=None, words="not made: runs are missing")
    return Control(
        name=name,
        passed=contrast.verdict is Verdict.BETTER,
        words=f"found {contrast.verdict.value}",
    )
