"""What a comparison is asked for, in words and numbers; no torch is needed.

The command line checks it before anything heavy is imported, and a plan is made of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from mementum.lab import arguments
from mementum.lab.arguments import Argument, Real, UnknownNameError, Whole
from mementum.lab.planning import names
from mementum.lab.planning.schedule import SCHEDULES
from mementum.lab.planning.tiers import SPENDING
from mementum.lab.records.plan import Design
from mementum.lab.tasks.own import entry_points
from mementum.lab.tasks.task import Tier


class Effort(NamedTuple):
    """How much is spent, where the tier's own is put in for what is not said."""

    tier: Tier
    rates: int
    """How many learning rates a grid has."""
    trials: int
    widen: int
    seeds: int | None
    """None for the tier's looks."""
    weight_decay: float | None
    """None for each as published."""

    def design(self) -> Design:
        """Return the design of the tier with so many rates, trials and seeds."""
        return SPENDING[self.tier].design(self.rates, self.trials, self.seeds)


def effort(
    *,
    tier: str,
    seeds: Whole | None,
    lrs: Whole | None,
    trials: Whole | None,
    widen: Whole | None,
    weight_decay: Real | None,
) -> Effort:
    """Return what is asked for; `ArgumentError` for what cannot be."""
    size = Tier(arguments.known_name("tier", tier, [*Tier], "tier"))
    usual = SPENDING[size]
    most = arguments.SEEDS
    decay = weight_decay
    return Effort(
        tier=size,
        rates=arguments.odd("lrs", usual.rates if lrs is None else lrs),
        trials=_number("trials", trials, usual.trials),
        widen=_number("widen", widen, usual.widen),
        seeds=None if seeds is None else arguments.whole("seeds", seeds, most=most),
        weight_decay=None if decay is None else arguments.real("weight_decay", decay),
    )


def _number(name: str, value: Whole | None, usual: int) -> int:
    return usual if value is None else arguments.whole(name, value, least=0)


def tasks_of(
    tier: Tier, asked: Iterable[str], offered: Mapping[str, Collection[Tier]]
) -> tuple[str, ...]:
    """Return the tasks that are meant, of those that are offered in their tiers."""
    asked = arguments.several("tasks", asked)
    by_lower = {name.lower(): name for name in offered}
    for each in asked:
        name = by_lower.get(f"{each}".strip().lower())
        if name is not None and tier not in offered[name]:
            sizes = ", ".join(each for each in Tier if each in offered[name])
            raise UnknownNameError(
                *(Argument("tasks"), f": {name} has no part in tier {tier}; give "),
                *(Argument("tier"), f" with one of its own: {sizes}."),
            )
    known = [name for name, tiers in offered.items() if tier in tiers]
    return arguments.known_names("tasks", asked, known, "task")


def check_names(
    tier: Tier,
    tasks: Sequence[str] | None,
    contenders: Sequence[str] | None,
    reference: str,
    schedules: Sequence[str] | None,
) -> None:
    """Refuse names that nothing has, as far as they are known before code is run.

    Among optimizers of the user's own, and where packages bring tasks or contenders,
    any name may be theirs.
    """
    if schedules is not None:
        arguments.known_names("schedules", schedules, [*SCHEDULES], "schedule")
    if tasks is not None and not names.brought(entry_points.GROUP):
        tasks_of(tier, tasks, names.TASKS)
    asked = [*(contenders or ()), reference]
    if any(map(names.is_source, asked)) or names.brought(names.OF_CONTENDERS):
        return
    arguments.known_name("reference", reference, names.CONTENDERS, "contender")
    if contenders is not None:
        arguments.known_names("contenders", contenders, names.CONTENDERS, "contender")


def until(value: str) -> None:
    """Refuse all words but "decided" for how long looks are taken."""
    arguments.allowed("until", value, ("decided",))
