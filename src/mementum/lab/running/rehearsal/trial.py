"""A rehearsal: a few steps of a task, before hundreds of its runs are planned.

What is wrong in a user's code shows here, in seconds and with its line: that it fails,
that its runs would not begin alike, that it does not train.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import math
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch

from mementum.lab.errors import LabError
from mementum.lab.planning.contender import Contender
from mementum.lab.records.beginnings import ALIKE
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import CPU, SINGLE, STACKED
from mementum.lab.records.scale import ScaleError
from mementum.lab.running import modifiers
from mementum.lab.running.loop import stepped
from mementum.lab.running.rehearsal.form import row_seconds
from mementum.lab.running.rehearsal.step_costs import step_costs
from mementum.lab.running.run_state import Progress, RunState
from mementum.lab.running.snapshot import Resumable, restore, resumable, state
from mementum.lab.running.stepping.closure import NothingTrainedError
from mementum.lab.running.stepping.device import Choice
from mementum.lab.running.stepping.own_optimizer import OwnStepper, steps_rows
from mementum.lab.tasks.own.batches import take_in
from mementum.lab.tasks.problem import Fed, Problem
from mementum.lab.tasks.task import Task

_STEPS = 2


@runtime_checkable
class _Placed(Protocol):
    """A problem of a file."""

    def place(self, name: str) -> str:
        """Return where the user defines a function."""
        ...


@runtime_checkable
class _Open(Protocol):
    """A problem that can be looked through."""

    def hidden(self) -> str:
        """Return the digest of what training may change beside its tensors."""
        ...


@dataclass(frozen=True)
class _Trial:
    """What came of a few steps."""

    parameters: str
    """The digest of the parameters at the start."""
    device: str
    """The kind of device that they are on."""
    start: tuple[float, float]
    batches: str
    losses: list[float]
    fixed: float
    """Seconds of a run beside its steps."""
    step: float
    """Seconds of a step."""
    known: bool
    """Whether the problem says which tensors are its state."""
    tolerance: float
    """How far its numbers may be from those of another run."""


def rehearse(task: Task, contenders: Sequence[Contender]) -> Task:
    """Return the task with its cost, its device and its faster form.

    It says too whether runs can be resumed.

    Two steps and two evaluations are made with SGD and with one of the family, as far
    as they take part.

    Errors: `LabError` for what would be wrong in every run.
    """
    shapes = _shapes(contenders)
    first = _tried(task, shapes[0])
    _compare(first, _tried(task, shapes[0]), steps=_STEPS)
    for other in shapes[1:]:
        _compare(first, _tried(task, other), steps=1)
    resumes = _resumes(task, shapes[-1])
    form, step = SINGLE, first.step
    here = first.device == CPU and task.stack is not None
    if here and (resumes or not first.known):
        row = row_seconds(task, shapes[-1], first.start, first.losses[0], step)
        if row is not None:
            form, step = STACKED, row
    seconds = first.fixed + task.steps * step
    return replace(
        task,
        seconds=max(0.01, float(f"{seconds:.2g}")),
        resumable=resumes,
        device=first.device,
        form=form,
        step_costs=step_costs(task, contenders) if form == STACKED else {},
    )


def _shapes(contenders: Iterable[Contender]) -> list[Contender]:
    """Return one of each shape: without second moments, and with them."""
    known = [each for each in contenders if not each.identity] or [*contenders]
    shapes = {each.optimizer_name == "SGD": each for each in reversed(known)}
    return [shapes[key] for key in (True, False) if key in shapes]


def _tried(task: Task, contender: Contender) -> _Trial:
    """Evaluate, take two steps, and evaluate again."""
    began = time.perf_counter()
    made = _Made(task, contender)
    with made.task.session(0), _explained(made):
        run, problem = Progress(), made.begin().problem
        digest = hashlib.sha256()
        take_in(digest, [*problem.parameters()])
        begun = time.perf_counter()
        run.evaluate(0, made.state)
        evaluated = time.perf_counter()
        start = _finite(run, made)
        losses, ends = list[float](), [evaluated]
        for loss in made.steps(_STEPS):
            losses.append(loss)
            ends.append(time.perf_counter())
        made.check_moving(losses)
        run.evaluate(task.steps, made.state)
        batches = problem.first_batches() if isinstance(problem, Fed) else ""
    steps = [after - before for before, after in itertools.pairwise(ends)]
    return _Trial(
        digest.hexdigest(),
        problem.parameters()[0].device.type,
        start,
        batches,
        losses,
        begun - began + (task.evaluations + 1) * (evaluated - begun),
        min(steps),
        isinstance(problem, Resumable),
        _tolerance(problem.parameters()),
    )


def _tolerance(parameters: Iterable[torch.Tensor]) -> float:
    """Return how far runs that are alike may be apart, as a share.

    Threads and devices sum in any order; one thread is exact.
    """
    here = {each.device.type for each in parameters} == {"cpu"}
    return 0.0 if here and torch.get_num_threads() == 1 else ALIKE


def _finite(run: Progress, made: _Made) -> tuple[float, float]:
    """Return loss and metric before training, which are to be finite."""
    loss, score = run.train[0], run.validation[0]
    if not (math.isfinite(loss) and math.isfinite(score)):
        place = made.place("metric" if math.isfinite(loss) else "loss")
        raise LabError(
            f"{place}before training the loss is {loss:g} and the metric {score:g}; "
            "both are to be finite."
        )
    return loss, score


class _Made:
    """A run of a rehearsal, as far as it has come."""

    def __init__(self, task: Task, contender: Contender) -> None:
        self.task = task.fresh()
        self.contender = contender.renewed() or contender
        self.step = 0
        self.model: object = None
        """What is trained, once it is made."""
        self._placed: _Placed | None = None

    def begin(self) -> RunState:
        """Begin the run."""
        options = self.contender.options_over(self.task.steps)
        build = self.contender.builder(self.contender.lr, options)
        self.state = modifiers.begin(
            self.task, 0, build, home=self.contender.home, device=self.task.device
        )
        problem = self.state.problem
        self.model = getattr(problem, "model", None)
        self._placed = problem if isinstance(problem, _Placed) else None
        return self.state

    def steps(self, count: int) -> Generator[float, None, None]:
        """Take steps, and yield the loss before each."""
        end = min(self.step + count, self.task.steps)
        going = True
        while going and self.step < end:
            going = stepped(Progress(), self.state, self.step)
            self.step += 1
            yield self.state.closure.values[0].item()

    def place(self, name: str) -> str:
        """Return where the user defines a function, to begin a sentence with."""
        return f"{self._placed.place(name)}: " if self._placed else ""

    def check_moving(self, losses: Sequence[float]) -> None:
        """Raise where no gradient was other than 0."""
        if losses and not self.state.closure.moving:
            raise NothingTrainedError(
                f"all gradients are 0 in the first {len(losses)} steps, so nothing "
                "would be trained; let the loss depend on the parameters."
            )


@contextmanager
def _explained(made: _Made) -> Generator[None, None, None]:
    """Say of errors what in the user's code they come of, and where that is."""
    place = made.place
    try:
        yield
    except (NothingTrainedError, ScaleError) as error:
        guilty = "metric" if isinstance(error, ScaleError) else "loss"
        raise type(error)(f"{place(guilty)}{error}") from error
    except RuntimeError as error:
        words = str(error)
        if "backward through the graph a second time" in words:
            raise LabError(
                f"{place('loss')}the loss of step {made.step} goes back through the "
                "graph of the step before, as something is kept from step to step; "
                "detach what is kept, such as a hidden state."
            ) from error
        if (name := _sparse(made.model)) is not None:
            raise LabError(
                f"{place('model')}the gradient of {name} is sparse, and "
                f"{made.contender.name} takes dense ones; give its layer sparse=False, "
                "or leave such contenders out."
            ) from error
        if place("loss"):
            first = words.splitlines()[0]
            raise LabError(f"{place('loss')}{type(error).__name__}: {first}") from error
        raise


def _sparse(model: object) -> str | None:
    """Return the name of a parameter whose gradient is sparse; None without one."""
    names = model.named_parameters() if isinstance(model, torch.nn.Module) else ()
    found = [
        name for name, each in names if each.grad is not None and each.grad.is_sparse
    ]
    return found[0] if found else None


def _close(one: float, two: float, *, tolerance: float) -> bool:
    """Return whether numbers are equal, to the bit unless they may be apart."""
    alike = math.isclose(one, two, rel_tol=tolerance)
    return alike or (math.isnan(one) and math.isnan(two))


def _compare(one: _Trial, two: _Trial, *, steps: int) -> None:
    """Raise where two runs of one seed do not begin alike."""
    close = functools.partial(_close, tolerance=one.tolerance)
    same = {
        "model begins with other parameters": one.parameters == two.parameters,
        "batches are others": one.batches == two.batches,
        "score before training is another": all(map(close, one.start, two.start)),
        "loss of the same batch is another": all(
            map(close, one.losses[:steps], two.losses[:steps])
        ),
    }
    for words, equal in same.items():
        if not equal:
            raise LabError(
                f"of two runs with one seed, the {words}, so contenders could not be "
                "compared in pairs. Draw from the global states of Python, NumPy or "
                "torch, or from a generator made with a seed, and keep nothing from "
                "one run to the next."
            )


def _resumes(task: Task, contender: Contender) -> bool:
    """Return whether a run that goes on from a snapshot goes on as it would have.

    Nothing but its tensors may have changed, and the next losses are to be equal.
    """
    whole = _Made(task, contender)
    with whole.task.session(0):
        problem = whole.begin().problem
        if not resumable(whole.state) or task.steps <= _STEPS:
            return False
        states = [_hidden(problem) for _ in whole.steps(_STEPS)]
        if states[0] != states[-1]:
            return False
        kept = io.BytesIO()
        torch.save(state(whole.state, whole.step), kept)
        losses = [*whole.steps(1)]
    half = _Made(task, contender)
    with half.task.session(0):
        half.begin()
        kept.seek(0)
        half.step = restore(half.state, torch.load(kept, weights_only=True))
        return losses == [*half.steps(1)]


def _hidden(problem: Problem) -> str:
    return problem.hidden() if isinstance(problem, _Open) else ""


def rehearse_own(
    plan: Plan, contenders: Sequence[Contender], tasks: Sequence[Task]
) -> Plan:
    """Try each optimizer of the user's own on the task that costs least.

    A device that is not here, as a cluster may have it, is done without. Where one of
    them cannot step the rows of a stack, all runs of the plan are single: contenders
    are compared that were computed alike.
    """
    own = [each for each in contenders if each.identity]
    if not own:
        return plan
    least = min(tasks, key=lambda task: task.seconds)
    if not Choice(least.device or CPU).here():
        least = replace(least, device=None)
    rows = True
    for each in own:
        rehearse_contender(least, each)
        build = each.builder(each.lr, each.options_over(least.steps))
        rows = rows and not each.takes_model and steps_rows(build, each.home)
    return plan if rows else plan.in_forms({each.name: SINGLE for each in plan.tasks})


def rehearse_contender(task: Task, contender: Contender) -> None:
    """Take two steps with an optimizer of the user's own, evaluate, and do so again.

    Errors: `LabError` for what would be wrong in every run.
    """
    one, two = (_of_own(task, contender) for _ in range(2))
    close = functools.partial(_close, tolerance=one[1])
    if not all(map(close, one[0], two[0])):
        raise LabError(
            f"{contender.name}: two runs with one seed differ, so its scores would be "
            "no function of the seed. Let it draw from the global states of Python, "
            "NumPy or torch, and keep nothing from one run to the next."
        )


def _of_own(task: Task, contender: Contender) -> tuple[list[float], float]:
    """Return losses and the score after two steps, and how exact they are."""
    made = _Made(task, contender)
    with made.contender.home(), made.task.session(0):
        run, curve = made.begin(), Progress()
        if any("lr" not in group for group in run.optimizer.param_groups):
            raise LabError(
                f"{contender.name}: its param_groups have no lr, which schedules set; "
                "give lr to the constructor of torch.optim.Optimizer."
            )
        if run.stepper is run.optimizer:
            run.stepper = OwnStepper.of(run.optimizer, home=contender.home)
        losses = [*made.steps(_STEPS)]
        curve.evaluate(task.steps, run)
        found = [*losses, *curve.validation]
        return found, _tolerance(run.problem.parameters())
