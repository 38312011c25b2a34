"""A task is a training problem with its metric, its budget and its version."""

from __future__ import annotations

import enum
import functools
import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import numpy as np

from mementum.lab.records.run import CONSTANT, COSINE, SINGLE, STACKED
from mementum.lab.tasks.problem import Problem, Stackable, StackedProblem

if TYPE_CHECKING:
    import torch


class Tier(enum.StrEnum):
    """How much is spent: on a test, a coffee break, a night, or a paper's own data."""

    SMOKE = "smoke"
    QUICK = "quick"
    STANDARD = "standard"
    PAPER = "paper"


class Size(NamedTuple):
    """What a tier asks of a task."""

    steps: int
    evaluations: int
    """Points of the learning curve besides step 0."""
    seconds: float
    """Cost of one run on one thread."""


def _seeded(seed: int) -> AbstractContextManager[None]:
    """Seed the global random states; the import waits, as it needs torch."""
    from mementum.lab.user_code.chance import seeded

    return seeded(seed)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training problem, the metric that scores it and the budget it is given.

    ``version`` rises with every change that may change a result, so that results of
    different versions never meet in one table.
    """

    name: str
    version: int
    title: str
    metric: str
    """What is scored at the last step, with its unit; lower is better."""
    steps: int
    evaluations: int
    """Points of the learning curve besides step 0."""
    deterministic: bool
    """Every seed gives the same run, so one seed is run."""
    scale: Literal["log", "linear"]
    """How scores are compared: by their ratio, or by their difference."""
    margin: float
    """Differences up to this are equivalent: a share of the score on the log scale,
    units of the metric on the linear one."""
    target: float | None = None
    """The value of the metric whose first crossing is timed, set once and kept. The
    lab's own tasks have theirs in a file: `mementum.lab.tasks.targets`."""
    untrained: float | None = None
    """The metric before training, where normalised scores are 0."""
    best: float | None = None
    """The metric of a well tuned run, where normalised scores are 1."""
    family: str = ""
    """Tasks of one family count as one task where tasks are put together. The lab's own
    have theirs in `mementum.lab.tasks.targets`; any other is a family of its own."""
    schedule: str = CONSTANT
    """How the learning rate goes over a run."""
    usual_schedule: str = CONSTANT
    """How it goes where a comparison is told of none."""
    step_costs: Mapping[str, float] = field(default_factory=dict, compare=False)
    """The median seconds of a contender's step in single runs, where that is known."""
    named_only: Collection[Tier] = ()
    """The tiers in which only a comparison that names it has it."""
    device: str | None = None
    """The kind of device that it is trained on; where it is made if none is asked."""
    limit: float = math.inf
    """A training loss above this ends the run as diverged."""
    seconds: float
    """Measured cost of one run on one thread."""
    start: Callable[..., Problem]
    """Return the problem of a seed at its start; where the task has other sizes, it
    takes ``steps`` as well."""
    stack: Callable[..., StackedProblem] | None = None
    """Return the stack of these seeds, a row each, at its start; None where the task
    has no stacked form. It takes ``steps`` as ``start`` does."""
    form: str = SINGLE
    """The form in which its runs are planned, the faster of those that it has."""
    data: Callable[[], str]
    """Return the sha256 of the data, in hex."""
    session: Callable[[int], AbstractContextManager[None]] = _seeded
    """Return what a run with a seed is carried out in: whatever its code draws is a
    function of the seed there, and what it sets stays there."""
    renew: Callable[[Task], Task] | None = None
    """Return the task as it is before any run, where its runs may leave anything."""
    resumable: bool = True
    """Whether a run that was killed can go on: its tensors are all of its state."""
    tier: Tier = Tier.QUICK
    """The tier that the steps, evaluations and seconds above belong to."""
    sizes: Mapping[Tier, Size] = field(default_factory=dict, compare=False)
    """What the other tiers ask; their numbers of steps all differ."""

    def at(self, tier: Tier) -> Task | None:
        """Return the task in the size of a tier; None where it has no part in it."""
        if tier is self.tier:
            return self
        if tier not in self.sizes:
            return None
        return replace(self.over(self.sizes[tier]), tier=tier)

    def over(self, size: Size) -> Task:
        """Return the task in another size, where it has no other and no goal."""
        return replace(
            self,
            steps=size.steps,
            evaluations=size.evaluations,
            seconds=size.seconds,
            start=functools.partial(self.start, steps=size.steps),
            stack=self.stack and functools.partial(self.stack, steps=size.steps),
            target=None,
            untrained=None,
            best=None,
            sizes={},
        )

    def fresh(self) -> Task:
        """Return the task as it is before any run."""
        return self if self.renew is None else self.renew(self)

    def grid(self) -> tuple[int, ...]:
        """Return the steps at which the run is evaluated, 0 and the last included."""
        points = self.evaluations
        return tuple(self.steps * point // points for point in range(points + 1))


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the named random stream of a seed.

    Initial values, data order and split each have a stream of their own, which no
    contender touches: every contender starts at the same point and sees the same
    batches, so that their scores can be compared in pairs.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, *name.encode()]))


def entry(
    name: str,
    title: str,
    metric: str,
    *,
    start: Callable[..., Problem],
    data: Callable[[], str],
    sizes: Mapping[Tier, Size],
    limit: float = math.inf,
    scale: Literal["log", "linear"] = "log",
    margin: float = 0.01,
    version: int = 1,
    deterministic: bool = False,
    usual_schedule: str = COSINE,
    form: str = SINGLE,
    named_only: Collection[Tier] = (),
) -> Task:
    """Return a task whose first size is its own.

    Unless told otherwise, seeds differ, the learning rate decays, scores are compared
    by their ratio, where one per cent is no difference, and runs are single. Stacked
    ones need problems that are `Stackable`.
    """
    (tier, own), *others = sizes.items()
    stack = None
    if form == STACKED:
        # Here, as it needs torch.
        from mementum.lab.tasks.stacks import stacked

        made = cast("Callable[..., Stackable]", start)
        stack = functools.partial(stacked, made, steps=own.steps)
    return Task(
        name=name,
        version=version,
        title=title,
        metric=metric,
        steps=own.steps,
        evaluations=own.evaluations,
        deterministic=deterministic,
        scale=scale,
        margin=margin,
        usual_schedule=usual_schedule,
        named_only=named_only,
        limit=limit,
        seconds=own.seconds,
        start=start,
        stack=stack,
        form=form,
        data=data,
        tier=tier,
        sizes=dict(others),
    )


def digest(*parts: torch.Tensor | np.ndarray | str) -> str:
    """Return the sha256 of tensors and texts, one after another."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            found.update(part.encode())
        else:
            found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()
