"""How long the memories of contenders are in the runs of a comparison, in words."""

from collections.abc import Mapping
from typing import Any

from mementum import Memory
from mementum.lab.contender import MATCHED
from mementum.lab.report.wording import listed
from mementum.lab.spaces import KAPPA, SHORTEST
from mementum.lab.statistics import Analysis, Result, TaskResult


def memory(analysis: Analysis) -> str:
    """How long the memories are in these runs; empty without a growing memory."""
    found = [words for task in analysis.tasks if (words := kappas(task))]
    matched = matching(analysis)
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


def matching(analysis: Analysis) -> str:
    """What a matched memory is; empty where nobody has one."""
    names = [name for name in analysis.contenders if name.endswith(MATCHED)]
    if not names:
        return ""
    return (
        f" {listed(names)} have the memory whose kappa is {KAPPA:g} over the steps of "
        f"each task, or over {SHORTEST} where there are fewer, in place of the "
        "published beta2 (given above for the first task)."
    )


def kappas(task: TaskResult) -> str:
    """The published horizons on one task: "on lm-bytes AdaXW 0.03"; empty if none."""
    found = [
        f"{result.contender} {task.steps * log_ratio:.2g}"
        for result in task.results
        if not result.contender.endswith(MATCHED)
        and (log_ratio := log_ratio_of(result)) is not None
    ]
    return f"on {task.name} {', '.join(found)}" if found else ""


def log_ratio_of(result: Result) -> float | None:
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
