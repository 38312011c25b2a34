"""Which tasks are of one family, and so count as one where tasks are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mementum.lab.task import Task

FAMILIES = {
    "counterexamples": ("reddi-periodic", "reddi-stochastic"),
    "quadratics": ("quad", "quad-turned"),
    "digits": ("mlp-digits", "resnet-digits"),
    "languages": ("lm-bytes", "lm-lstm"),
    "tables": ("tabular", "tabular-diabetes"),
    "mnist": ("mnist-mlp", "mnist-cnn"),
}
"""The lab's own tasks that have the same data, the same rule or the same kind."""


def family(task: Task) -> str:
    """Return the family of a task: what it says itself, the lab's, or its own name."""
    known = {name: kin for kin, names in FAMILIES.items() for name in names}
    return task.family or known.get(task.name, task.name)
