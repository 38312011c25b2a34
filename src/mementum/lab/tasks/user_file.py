"""A task of the user's: a Python file that says its data, model, loss and metric."""

from __future__ import annotations

import functools
import hashlib
import math
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from mementum.lab.arguments import Argument
from mementum.lab.errors import UserCodeError, blamed
from mementum.lab.records.scale import ScaleError, on_scale, turned
from mementum.lab.tasks.sampling import batches, seeded
from mementum.lab.tasks.task import Task, stream
from mementum.lab.user_module import executed

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
        if not isinstance(found[name], int) or found[name] < 1:
            raise UserCodeError(
                f"{path}: {name} is {found[name]!r}; give a whole number, 1 or more."
            )
    for name in ("title", "unit"):
        if not isinstance(words := getattr(module, name, ""), str):
            raise UserCodeError(f"{path}: {name} is {words!r}; give text in quotes.")
    margin = found["margin"]
    if not isinstance(margin, int | float) or not 0 <= margin < math.inf:
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

    path: Path
    module: ModuleType
    settings: dict[str, Any]

    @functools.cached_property
    def parts(self) -> tuple[_Tensors, _Tensors]:
        """The training part and the held-out part of the data."""
        with seeded(), blamed(self.path):
            given = self.module.data()
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
        """Return the sha256 of the file and of its data."""
        digest = hashlib.sha256(self.path.read_bytes())
        for part in self.parts:
            for tensor in part:
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
                # NumPy has no bfloat16: the bytes are read as what they are.
                plain = tensor.detach().cpu().contiguous().reshape(-1)
                digest.update(plain.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def score(self, model: torch.nn.Module, part: _Tensors) -> float:
        """Return the metric on a part of the data, the loss where there is none."""
        metric = getattr(self.module, "metric", self.module.loss)
        value = float(metric(model, *part))
        scale = self.settings["scale"]
        return turned(value, scale) if self.settings["goal"] == "max" else value

    def unit(self) -> str:
        """Return what is scored, with what is done to a metric that is to be high."""
        unit = getattr(self.module, "unit", "metric on the held-out part")
        if self.settings["goal"] == "min":
            return str(unit)
        sign = "1 /" if self.settings["scale"] == "log" else "minus"
        return f"{sign} {unit}"


class Own:
    """A model of the user's file, its batches drawn by the seed.

    What the model draws from torch's global state, in its making as in dropout, is a
    function of the seed and the step; the state itself is left as it was.
    """

    def __init__(self, seed: int, *, file: _OwnFile) -> None:
        self.file, self.seed = file, seed
        self.kept, self.held = file.parts
        settings = file.settings
        self.batch = batches(
            stream(seed, "own/order"),
            len(self.kept[0]),
            settings["steps"],
            settings["batch"],
        )
        with self.drawing("own/init"):
            self.model = file.module.model()
        if not isinstance(self.model, torch.nn.Module):
            kind = type(self.model).__name__
            raise UserCodeError(f"{file.path}: model() returned {kind}, no module.")

    @contextmanager
    def drawing(self, name: str) -> Generator[None, None, None]:
        """Give torch's global state to a stream of the seed, and then back."""
        with torch.random.fork_rng(devices=[]), blamed(self.file.path):
            torch.manual_seed(int(stream(self.seed, name).integers(2**62)))
            yield

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the tensors to train."""
        return [each for each in self.model.parameters() if each.requires_grad]

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes."""
        return [*self.model.parameters(), *self.model.buffers()]

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss on the batch of this step."""
        rows = self.batch[step]
        self.model.train()
        with self.drawing(f"own/step {step}"):
            loss = self.file.module.loss(self.model, *(t[rows] for t in self.kept))
            if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
                kind = type(loss).__name__
                raise UserCodeError(
                    f"{self.file.path}: loss() returned {kind}; return a tensor of one "
                    "number."
                )
            return loss.reshape(())

    def evaluate(self) -> tuple[float, float]:
        """Return the loss on the training part, and the metric on the held-out part."""
        self.model.eval()
        with self.drawing("own/evaluate"):
            train = float(self.file.module.loss(self.model, *self.kept))
            return train, self.file.score(self.model, self.held)


@functools.cache
def load(path: Path) -> Task:
    """Return the task of a file, after executing it."""
    name = path.stem
    with seeded():
        module = executed(path, f"mementum_task_{name}", Argument("files"))
    settings = _settled(path, module)
    file = _OwnFile(path, module, settings)
    return Task(
        name=name,
        version=1,
        title=getattr(module, "title", f"the task of {path.name}"),
        metric=file.unit(),
        steps=settings["steps"],
        evaluations=settings["evaluations"],
        deterministic=False,
        scale=settings["scale"],
        margin=settings["margin"],
        seconds=1.0,
        start=functools.partial(Own, file=file),
        data=file.fingerprint,
    )


def _rehearsed(task: Task, path: Path) -> Task:
    """Return the task with its measured cost, after a step and an evaluation.

    What is wrong in the file shows here, before hundreds of runs fail of it.
    """
    problem = task.start(0)
    parameters = problem.parameters()
    if not parameters:
        raise UserCodeError(f"{path}: the model has no parameter to train.")
    began = time.perf_counter()
    loss = problem.loss(0)
    with blamed(path):
        loss.backward()  # type: ignore[no-untyped-call]
    step = time.perf_counter() - began
    with torch.no_grad():
        objective, score = problem.evaluate()
    whole = time.perf_counter() - began - step
    if not (math.isfinite(objective) and math.isfinite(score)):
        raise UserCodeError(
            f"{path}: before training the loss is {objective:g} and the metric "
            f"{score:g}; both are to be finite."
        )
    try:
        on_scale(score, task.scale, " before training")
    except ScaleError as error:
        raise UserCodeError(f"{path}: {error}") from error
    cost = task.steps * step + (task.evaluations + 1) * whole
    return replace(task, seconds=max(0.01, float(f"{cost:.2g}")))


def register(paths: Sequence[str], taken: Callable[[str], bool]) -> tuple[Task, ...]:
    """Return the tasks of these files, and let worker processes know of them."""
    found: list[Task] = []
    for text in paths:
        path = Path(text).resolve()
        task = load(path)
        if taken(task.name) or task.name in [other.name for other in found]:
            raise UserCodeError(
                f"{path}: there is a task named {task.name} already; rename the file."
            )
        found.append(_rehearsed(task, path))
    if found:
        listed = [str(Path(text).resolve()) for text in paths]
        os.environ[VARIABLE] = os.pathsep.join(listed)
    return tuple(found)


def paths() -> dict[str, Path]:
    """Return the files that the environment lists, by the names of their tasks."""
    listed = os.environ.get(VARIABLE, "")
    found = [Path(each) for each in listed.split(os.pathsep) if each]
    return {path.stem: path for path in found}


def registered() -> tuple[Task, ...]:
    """Return the tasks of the files that the environment lists."""
    return tuple(load(path) for path in paths().values())
