"""A task of the user's: a Python file that says its data, model, loss and metric."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch

from mementum.lab import arguments
from mementum.lab.arguments import Argument
from mementum.lab.errors import UserCodeError, blamed
from mementum.lab.records import codec
from mementum.lab.records.run import COSINE
from mementum.lab.records.scale import turned
from mementum.lab.tasks.own.batches import FIRST, FirstBatches, take_in
from mementum.lab.tasks.own.model import initialise, made, no_number, number
from mementum.lab.tasks.own.stacked import stacked
from mementum.lab.tasks.sampling import batches
from mementum.lab.tasks.task import Task, stream
from mementum.lab.user_code.chance import Chance, generators_of
from mementum.lab.user_code.hidden_state import HiddenState
from mementum.lab.user_code.module import UserModule
from mementum.lab.user_code.session import Session

VARIABLE = "MEMENTUM_TASKS"
"""The environment variable that lists task files; worker processes inherit it."""
_REQUIRED = ("data", "model", "loss")
_DEFAULTS: dict[str, Any] = {
    "steps": 500,
    "batch": 32,
    "evaluations": 10,
    "goal": "min",
    "scale": None,
    "margin": 0.01,
}
_LOSS = "a tensor of one number"
_SHAPE = "((inputs, targets), (held-out inputs, held-out targets))"

_Tensors = tuple[torch.Tensor, ...]


def _settled(path: Path, module: ModuleType) -> dict[str, Any]:
    """Return what the file settles, defaults filled in; a missing part is an error."""
    missing = [name for name in _REQUIRED if not callable(getattr(module, name, None))]
    if missing:
        raise UserCodeError(
            f"{path} defines no function {' and no function '.join(missing)}. A task "
            "has data(), model(), loss(model, inputs, targets), and, if it is not the "
            "loss, metric(model, inputs, targets)."
        )
    found = {name: getattr(module, name, value) for name, value in _DEFAULTS.items()}
    for name in ("steps", "batch", "evaluations"):
        if not codec.is_whole(found[name]) or found[name] < 1:
            raise UserCodeError(
                f"{path}: {name} is {found[name]!r}; give a whole number, 1 or more."
            )
    for name in ("title", "unit"):
        if not isinstance(words := getattr(module, name, ""), str):
            raise UserCodeError(f"{path}: {name} is {words!r}; give text in quotes.")
    margin = found["margin"]
    if not codec.is_number(margin) or margin < 0:
        raise UserCodeError(f"{path}: margin is {margin!r}; give a number, 0 or more.")
    usual = _usual_scale(path, module, found["goal"])
    found["scale"] = usual if found["scale"] is None else found["scale"]
    if found["scale"] not in ("log", "linear"):
        raise UserCodeError(
            f'{path}: scale is {found["scale"]!r}; give "log", by which scores are '
            'compared by their ratio, or "linear".'
        )
    found["evaluations"] = min(found["evaluations"], found["steps"])
    return found


def _usual_scale(path: Path, module: ModuleType, goal: object) -> str:
    """Return the scale of a goal: a metric to be high has differences, no ratios."""
    if goal not in ("min", "max"):
        raise UserCodeError(
            f'{path}: goal is {goal!r}; give "min", or "max" for a metric '
            "that is to be high."
        )
    if goal == "max" and not callable(getattr(module, "metric", None)):
        raise UserCodeError(
            f"{path}: goal is 'max', and the loss is to be low; define a metric."
        )
    return "log" if goal == "min" else "linear"


def _tensors(part: object) -> _Tensors:
    """Return a part of the data as tensors; anything but a tuple or list is refused."""
    if not isinstance(part, tuple | list):
        raise TypeError(f"a part is {type(part).__name__}")
    return tuple(map(torch.as_tensor, part))


@dataclass(frozen=True)
class _OwnFile:
    """A task file, executed."""

    code: UserModule
    settings: dict[str, Any]
    session: Session

    @classmethod
    def of(cls, code: UserModule) -> _OwnFile:
        """Return a file that was executed, after checking what it defines."""
        chance = Chance(generators_of(*map(vars, code.modules)))
        return cls(code, _settled(code.path, code.module), Session(chance, code))

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.code.path

    @property
    def module(self) -> Any:
        """What it defines."""
        return self.code.module

    @functools.cached_property
    def parts(self) -> tuple[_Tensors, _Tensors]:
        """The training part and the held-out part of the data."""
        with self.session.entered(), blamed(self.path):
            given = self.module.data()
        self.code.settle()
        try:
            kept, held = (_tensors(part) for part in given)
            lengths = [{len(tensor) for tensor in part} for part in (kept, held)]
        except Exception as error:
            raise UserCodeError(
                f"{self.path}: data() returned {type(given).__name__}, not {_SHAPE} "
                f"as tensors or arrays ({error})."
            ) from error
        if any(len(each) != 1 or 0 in each for each in lengths):
            raise UserCodeError(
                f"{self.path}: data() returned parts of {sorted(*lengths[:1])} and "
                f"{sorted(*lengths[1:])} rows; inputs and targets of a part have "
                "equally many rows, at least one."
            )
        return kept, held

    def fingerprint(self) -> str:
        """Return the sha256 of the file, what it imports beside it, and its data."""
        digest = hashlib.sha256(self.code.code.encode())
        for part in self.parts:
            take_in(digest, part)
        return digest.hexdigest()

    def score(self, model: torch.nn.Module, part: _Tensors) -> float:
        """Return the metric on a part of the data, the loss where there is none."""
        name = "metric" if hasattr(self.module, "metric") else "loss"
        value = getattr(self.module, name)(model, *part)
        value = number(value, self.place(name), "one number")
        scale = self.settings["scale"]
        return turned(value, scale) if self.settings["goal"] == "max" else value

    def unit(self) -> str:
        """Return what is scored, with what is done to a metric that is to be high."""
        unit = getattr(self.module, "unit", "metric on the held-out part")
        if self.settings["goal"] == "min":
            return str(unit)
        sign = "1 /" if self.settings["scale"] == "log" else "minus"
        return f"{sign} {unit}"

    def place(self, name: str) -> str:
        """Return where the file defines a function."""
        found = getattr(self.module, name, None)
        if isinstance(found, FunctionType):
            return f"{self.path}, line {found.__code__.co_firstlineno}, in {name}"
        return str(self.path)


class Own:
    """A model of the user's file, its batches drawn by the seed.

    What its code draws, in making the model as in dropout, is a function of the seed
    and the step, wherever it draws from.
    """

    def __init__(self, seed: int, *, file: _OwnFile) -> None:
        self.file, self.session = file, file.session
        self.code: Sequence[object] = [*map(vars, file.code.modules)]
        self.kept, self.held = file.parts
        settings = file.settings
        self.batch = batches(
            stream(seed, "own/order"),
            len(self.kept[0]),
            settings["steps"],
            settings["batch"],
        )
        self._base = {
            name: int(stream(seed, name).integers(2**62))
            for name in ("own/init", "own/step", "own/evaluate")
        }
        with self._drawing("own/init"):
            self.model = made(file.module.model(), file.place("model"))
            initialise(self.model, lambda: self.value(self.batch_of(0)))

    @contextmanager
    def _drawing(self, name: str, step: int = 0) -> Generator[None, None, None]:
        """Let the file's code run, and draw from a stream of the seed."""
        session = self.session.entered(self._base[name], step)
        with session, blamed(self.file.path):
            yield

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [each for each in self.model.parameters() if each.requires_grad]

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes."""
        return [*self.model.parameters(), *self.model.buffers()]

    def first_batches(self) -> str:
        """Return the digest of the first batches, which are known from the start."""
        first = FirstBatches()
        for step, rows in enumerate(self.batch[:FIRST]):
            first.see(step, [tensor[rows] for tensor in self.kept])
        return first.digest()

    def hidden(self) -> str:
        """Return the digest of what training may change beside the tensors."""
        return HiddenState(self.tensors()).of(self.model, *self.code)

    def place(self, name: str) -> str:
        """Return where the user defines the model, or the loss."""
        return self.file.place(name)

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        self.model.train()
        with self.drawing(step):
            return self.value(self.batch_of(step))

    def batch_of(self, step: int) -> _Tensors:
        """Return the batch of this step."""
        rows = self.batch[step]
        return tuple(each[rows] for each in self.kept)

    def drawing(self, step: int) -> AbstractContextManager[None]:
        """Let what the loss of a step draws be a function of seed and step."""
        return self._drawing("own/step", step)

    def value(self, batch: _Tensors) -> torch.Tensor:
        """Return the loss of the model on a batch."""
        loss = self.file.module.loss(self.model, *batch)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            raise no_number(loss, self.place("loss"), _LOSS)
        return loss.reshape(())

    def evaluate(self) -> tuple[float, float]:
        """Return the loss on the training part, and the metric on the held-out part."""
        self.model.eval()
        with self._drawing("own/evaluate"):
            train = self.file.module.loss(self.model, *self.kept)
            objective = number(train, self.place("loss"), _LOSS)
            return objective, self.file.score(self.model, self.held)


def load(path: Path) -> Task:
    """Return the task of a file, after executing it, once for each content it has."""
    content = path.read_bytes() if path.is_file() else b""
    return _loaded(path, hashlib.sha256(content).hexdigest())


@functools.cache
def _loaded(path: Path, content: str) -> Task:
    code = UserModule(path, "mementum_task_", Argument("files"))
    file = _OwnFile.of(code)
    settings = file.settings
    return Task(
        name=path.stem,
        version=1,
        title=getattr(code.module, "title", f"the task of {path.name}"),
        metric=file.unit(),
        steps=settings["steps"],
        evaluations=settings["evaluations"],
        deterministic=False,
        scale=settings["scale"],
        margin=settings["margin"],
        usual_schedule=COSINE,
        seconds=1.0,
        start=(begin := functools.partial(Own, file=file)),
        stack=functools.partial(stacked, begin),
        data=functools.cache(file.fingerprint),
        session=file.session.entered,
        renew=_Renewal(file),
        resumable=_listed().get(path.stem, {}).get("resumable", True),
    )


class _Renewal:
    """Executes a file anew where a run has left anything in its modules."""

    def __init__(self, file: _OwnFile) -> None:
        self._file = file

    def __call__(self, task: Task) -> Task:
        """Return the task with the file as it is before any run."""
        _ = self._file.parts  # data() may keep what the other functions need
        if self._file.code.changed():
            self._file = _OwnFile.of(self._file.code.again())
        start = functools.partial(Own, file=self._file)
        return replace(
            task,
            start=start,
            stack=functools.partial(stacked, start),
            session=self._file.session.entered,
        )


def named(texts: Sequence[str], taken: Callable[[str], bool]) -> list[Path]:
    """Return the files, whose names are to be those of tasks that nobody has."""
    found: dict[str, Path] = {}
    for text in texts:
        path = arguments.file("files", text)
        if taken(path.stem) or path.stem in found:
            raise UserCodeError(
                f"{path}: there is a task named {path.stem} already; rename the file."
            )
        found[path.stem] = path
    return [*found.values()]


def announce(resumable: dict[Path, bool]) -> None:
    """Let worker processes know of files, and whether their runs can be resumed."""
    os.environ[VARIABLE] = json.dumps(
        {
            path.stem: {"path": str(path), "resumable": each}
            for path, each in resumable.items()
        }
    )


def _listed() -> dict[str, dict[str, Any]]:
    """Return what the environment says of files, by the names of their tasks."""
    found: dict[str, dict[str, Any]] = json.loads(os.environ.get(VARIABLE) or "{}")
    return found


def paths() -> dict[str, Path]:
    """Return the files that the environment lists, by the names of their tasks."""
    return {name: Path(each["path"]) for name, each in _listed().items()}


def registered(name: str) -> Task | None:
    """Return the task of this name, if the environment lists its file."""
    path = paths().get(name)
    return None if path is None else load(path)
