"""What the statistics need to know of a plan and its tasks, whatever provides it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from mementum.lab.run import RunSpec


class TaskFacts(Protocol):
    """A task, without its data and its model."""

    @property
    def name(self) -> str:
        """The name that runs and tables know it by."""
        ...

    @property
    def title(self) -> str:
        """What is trained, in a few words."""
        ...

    @property
    def metric(self) -> str:
        """What is scored, with its unit; lower is better."""
        ...

    @property
    def steps(self) -> int:
        """How long a run is."""
        ...

    @property
    def deterministic(self) -> bool:
        """Whether every seed gives the same run."""
        ...

    @property
    def scale(self) -> str:
        """How scores are compared: "log", by their ratio, or "linear"."""
        ...

    @property
    def margin(self) -> float:
        """Up to where scores are equivalent: a share (log), or the metric's unit."""
        ...

    @property
    def target(self) -> float | None:
        """The score whose first crossing is timed; None where there is none."""
        ...

    @property
    def untrained(self) -> float | None:
        """The score before training, frozen; None where it is not."""
        ...

    @property
    def best(self) -> float | None:
        """The score of a well tuned run, frozen; None where it is not."""
        ...

    @property
    def family(self) -> str:
        """Whose weight the task shares; empty for a family of its own."""
        ...


class PlanFacts(Protocol):
    """A plan: the tasks, the reference, and every run that belongs to it."""

    @property
    def tasks(self) -> Sequence[TaskFacts]:
        """The tasks, in the order of the report."""
        ...

    @property
    def reference(self) -> str:
        """The contender that all others are compared with."""
        ...

    @property
    def trials(self) -> Sequence[RunSpec]:
        """The planned runs that vary more than the learning rate."""
        ...

    @property
    def centres(self) -> Mapping[str, float]:
        """The published learning rate of each contender."""
        ...

    @property
    def widen(self) -> int:
        """How often a grid may be widened at most."""
        ...

    @property
    def weight_decay(self) -> float | None:
        """Everyone's weight decay; None where each has its published one."""
        ...

    def specs(self) -> Sequence[RunSpec]:
        """Every planned run."""
        ...
