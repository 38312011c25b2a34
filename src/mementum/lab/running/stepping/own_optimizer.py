"""What optimizers of the user's own ask of a run: closures, modes, and their errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim import Optimizer

from mementum.lab.errors import UserCodeError, blamed
from mementum.lab.running.stepping.closure import Closure
from mementum.lab.tasks.problem import Problem
from mementum.lab.user_code.chance import Chance

Build = Callable[[Problem], Optimizer]
"""Makes the optimizer of a problem."""

Home = Callable[[], AbstractContextManager[None]]
"""What the code of an optimizer's file runs in."""

_KNOWN = ("torch.optim.", "mementum.")


@dataclass
class OwnStepper:
    """Steps an optimizer of the user's own, and names the line of what it raises.

    A run that it steps keeps no snapshots: nobody knows whether such an optimizer has
    all of its state in its state dict, in the precision that a load keeps.
    """

    optimizer: Optimizer
    path: Path
    closure: Closure | None
    home: Home

    @classmethod
    def of(
        cls,
        optimizer: Optimizer,
        closure: Closure | None = None,
        home: Home = nullcontext,
    ) -> OwnStepper:
        """Return what steps an optimizer, and names the lines of its class."""
        kind = type(optimizer)
        with home():
            try:
                path = inspect.getsourcefile(kind)
            except TypeError:  # a class of a notebook has no file
                path = None
        return cls(optimizer, Path(path or kind.__module__), closure, home)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad()

    def step(self) -> None:
        """Change the parameters."""
        closure = self.closure
        try:
            with self.home(), blamed(self.path):
                if closure is None:
                    self.optimizer.step()
                else:
                    # torch says float, for the sake of its own types.
                    self.optimizer.step(closure)  # type: ignore[arg-type]
        except UserCodeError as told:
            if closure is not None and told.__cause__ is closure.error is not None:
                raise closure.error from None
            raise
        if closure is not None and not closure.values:
            raise UserCodeError(
                f"{self.path}: step() did not call the closure it asks for."
            )


def stepper(
    build: Build, optimizer: Optimizer, closure: Closure, home: Home
) -> OwnStepper | None:
    """Return what steps an optimizer, where that is not the optimizer itself."""
    known = f"{type(optimizer).__module__}.".startswith(_KNOWN)
    parameters = inspect.signature(optimizer.step).parameters
    wanted = any(each.default is each.empty for each in parameters.values())
    if not known and not wanted and "closure" in parameters:
        wanted = _fails(build, given=False) and not _fails(build, given=True)
    if known and not wanted:
        return None
    return OwnStepper.of(optimizer, closure if wanted else None, home)


class _Tiny:
    """A linear map, to try an optimizer on."""

    def __init__(self) -> None:
        self.model = torch.nn.Linear(2, 2)

    def parameters(self) -> list[torch.nn.Parameter]:
        return [*self.model.parameters()]

    def loss(self, step: int) -> torch.Tensor:
        return self.model(torch.ones(1, 2)).square().sum()  # type: ignore[no-any-return]

    def evaluate(self) -> tuple[float, float]:
        return 0.0, 0.0


def _fails(build: Build, *, given: bool) -> bool:
    """Return whether a step fails, with a closure or without one.

    Its default may be None, and the step one that cannot do without.
    """
    with torch.random.fork_rng(devices=[]):
        problem = _Tiny()
        try:
            optimizer = build(problem)
            to_training(optimizer)
            closure = Closure(optimizer, lambda: problem.loss(0))
            closure()
            if given:
                optimizer.step(closure)  # type: ignore[arg-type]
            else:
                optimizer.step()
        except Exception:  # noqa: BLE001 - another's code may raise anything
            return True
    return False


def steps_rows(build: Build, home: Home) -> bool:
    """Return whether an optimizer can step the rows of a stack.

    One cannot that asks for the loss, has two modes, or draws: what it drew would hang
    on the other rows.
    """
    chance = Chance()
    try:
        with home(), chance.lent(0):
            problem = _Tiny()
            optimizer = build(problem)
            own = stepper(build, optimizer, Closure(optimizer), home)
            if _switched(optimizer) or (own is not None and own.closure is not None):
                return False
            before = chance.states()
            problem.loss(0).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            return chance.states() == before
    except Exception:  # noqa: BLE001 - another's code may raise anything
        return False


def _switched(optimizer: Optimizer) -> bool:
    """Return whether an optimizer has other parameters for evaluation."""
    modes = (getattr(optimizer, name, None) for name in ("train", "eval"))
    return all(map(callable, modes))


def to_training(optimizer: Optimizer) -> None:
    """Switch an optimizer with two modes to training."""
    if _switched(optimizer):
        optimizer.train()  # type: ignore[attr-defined]


@contextmanager
def evaluating(optimizer: Optimizer) -> Generator[None, None, None]:
    """Switch an optimizer with two modes to evaluation, and back."""
    if not _switched(optimizer):
        yield
        return
    optimizer.eval()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        optimizer.train()  # type: ignore[attr-defined]
