"""The tasks the lab knows, in the order they are shown."""

from __future__ import annotations

from mementum.lab.tasks.analytic.bistable import BISTABLE
from mementum.lab.tasks.analytic.quad import QUAD, QUAD_TURNED
from mementum.lab.tasks.analytic.reddi_periodic import REDDI
from mementum.lab.tasks.analytic.reddi_stochastic import STOCHASTIC
from mementum.lab.tasks.claimed import PROBLEMS
from mementum.lab.tasks.linear.linear_ae import AUTOENCODER
from mementum.lab.tasks.linear.logreg_cancer import LOGREG
from mementum.lab.tasks.linear.mf import FACTORS
from mementum.lab.tasks.linear.zipf_linear import ZIPF
from mementum.lab.tasks.networks.cnn_mnist1d import SIGNALS
from mementum.lab.tasks.networks.fashion_conv import FASHION_CONV
from mementum.lab.tasks.networks.fashion_mlp import FASHION_MLP
from mementum.lab.tasks.networks.gan_ring import RING
from mementum.lab.tasks.networks.lm_bytes import BYTES
from mementum.lab.tasks.networks.lm_lstm import CHAIN
from mementum.lab.tasks.networks.mlp_digits import DIGITS
from mementum.lab.tasks.networks.paper_tier import PAPER
from mementum.lab.tasks.networks.pinn_poisson import POISSON
from mementum.lab.tasks.networks.resnet_digits import RESIDUAL
from mementum.lab.tasks.networks.tabular import DIABETES, TABULAR
from mementum.lab.tasks.networks.text_kjv import KJV
from mementum.lab.tasks.own.entry_points import plugged
from mementum.lab.tasks.own.user_file import registered
from mementum.lab.tasks.task import Task, Tier

TASKS: tuple[Task, ...] = (
    REDDI,
    STOCHASTIC,
    BISTABLE,
    QUAD,
    QUAD_TURNED,
    FASHION_MLP,
    FASHION_CONV,
    KJV,
    LOGREG,
    DIGITS,
    SIGNALS,
    RESIDUAL,
    BYTES,
    CHAIN,
    ZIPF,
    FACTORS,
    AUTOENCODER,
    TABULAR,
    DIABETES,
    POISSON,
    RING,
    *PAPER,
)


def offered() -> tuple[Task, ...]:
    """Return the lab's tasks and those of installed packages."""
    return TASKS + plugged(tuple(task.name for task in TASKS)).tasks


def complaints() -> tuple[str, ...]:
    """Return a sentence for each package whose task is left out."""
    return plugged(tuple(task.name for task in TASKS)).complaints


def of_tier(tier: Tier) -> tuple[Task, ...]:
    """Return the tasks that take part in a tier, in its sizes."""
    sized = (task.at(tier) for task in offered())
    return tuple(task for task in sized if task is not None)


def find(name: str, steps: int | None = None) -> Task:
    """Return the task of this name, in the size of so many steps where they are given.

    A name the lab does not know, or a size that the task does not have, is a
    LookupError.
    """
    known = {task.name: task for task in offered()}
    task = known.get(name) or registered(name)
    if task is not None:
        return task if steps in (None, task.steps) else _sized(task, steps)
    raise LookupError(f"the lab knows no task named {name!r}")


def find_any(name: str, steps: int | None = None) -> Task:
    """Return the task of this name, those that only claims are about among them."""
    try:
        return find(name, steps)
    except LookupError:
        for problem in PROBLEMS:
            if problem.name == name:
                return problem
        raise


def _sized(task: Task, steps: int | None) -> Task:
    """Return the task in the size of so many steps."""
    for tier in task.sizes:
        found = task.at(tier)
        if found is not None and found.steps == steps:
            return found
    raise LookupError(f"{task.name} has no size of {steps} steps")
