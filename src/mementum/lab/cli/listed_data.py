"""What ``mementum tasks`` and ``mementum contenders`` list, as plain data."""

from __future__ import annotations

from collections.abc import Sequence

from mementum.lab.cli.task_listing import every_contender, outlay
from mementum.lab.planning import contender
from mementum.lab.planning.contender import Contender
from mementum.lab.planning.own import registry as own
from mementum.lab.tasks import registry, targets
from mementum.lab.tasks.registry import of_tier, offered
from mementum.lab.tasks.task import Task, Tier


def of_lab(workers: int) -> dict[str, object]:
    """Return the tasks, what each tier spends, and the contenders of a comparison."""
    quick = {task.name: task for task in of_tier(Tier.QUICK)}
    return {
        "tasks": [_task(task, quick.get(task.name)) for task in offered()],
        "tiers": {tier: _outlay(tier, workers) for tier in Tier},
        "contenders": [_contender(each) for each in contender.CONTENDERS],
        "left_out": list(registry.complaints()),
    }


def of_contenders(sources: Sequence[str]) -> dict[str, object]:
    """Return all contenders that there are, those of sources last."""
    return {
        "contenders": [_contender(each) for each in every_contender(sources)],
        "left_out": list(own.plugged().complaints),
    }


def _task(task: Task, quick: Task | None) -> dict[str, object]:
    """Return a task, its size in each tier, and its noise card in the quick one."""
    sizes = {tier: task.at(tier) for tier in Tier}
    card = None if quick is None else targets.noise(quick)
    return {
        "name": task.name,
        "title": task.title,
        "metric": task.metric,
        "deterministic": task.deterministic,
        "schedule": task.usual_schedule,
        "tiers": {
            tier: {"steps": size.steps, "seconds": size.seconds}
            for tier, size in sizes.items()
            if size is not None
        },
        "noise": None if card is None else card._asdict(),
    }


def _outlay(tier: Tier, workers: int) -> dict[str, object]:
    """Return what a tier spends; of its looks the later ones are taken only if told."""
    spent = outlay(tier, workers)
    return {
        "tasks": spent.tasks,
        "rates": spent.rates,
        "pilot": spent.design.pilot,
        "looks": spent.design.looks,
        "looks_untold": spent.design.reach,
        "trials": spent.trials,
        "runs": spent.runs,
        "workers": workers,
        "seconds": round(spent.seconds, 1),
    }


def _contender(each: Contender) -> dict[str, object]:
    return {
        "name": each.name,
        "lr": each.lr,
        "options": dict(each.options),
        "for_claims": each in contender.OTHERS,
        "identity": dict(each.identity),
    }
