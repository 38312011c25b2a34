"""Carries a run out: builds the problem, trains it, follows its curve."""

from __future__ import annotations

import functools
import hashlib
import math
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

import mementum
from mementum.lab import LabError, contender, modified
from mementum.lab.making import Making
from mementum.lab.run import Curve, RunRecord, RunSpec, Status
from mementum.lab.snapshot import Snapshots
from mementum.lab.task import Problem, Task


@dataclass
class Progress:
    """A run as far as it has come."""

    status: Status = Status.FAILED
    steps: list[int] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    optimizer_seconds: float = 0.0
    earlier: float = 0.0
    """Seconds it had taken in the process that it goes on from."""
    parameters: int = 0
    error: str | None = None

    def evaluate(self, step: int, problem: Problem) -> bool:
        """Add a point to the curve; return whether its metric is finite."""
        with torch.no_grad():
            train, validation = problem.evaluate()
        self.steps.append(step)
        self.train.append(train if math.isfinite(train) else math.nan)
        self.validation.append(validation if math.isfinite(validation) else math.nan)
        return math.isfinite(validation)

    def record(self, spec: RunSpec, seconds: float) -> RunRecord:
        """Return the record of the run as it stands."""
        finished = self.status is Status.FINISHED
        return RunRecord(
            spec=spec,
            status=self.status,
            score=self.validation[-1] if finished else None,
            curve=Curve(
                steps=tuple(self.steps),
                train=tuple(self.train),
                validation=tuple(self.validation),
            ),
            seconds=self.earlier + seconds,
            optimizer_seconds=self.optimizer_seconds,
            parameters=self.parameters,
            error=self.error,
            environment=environment(),
        )


def execute(spec: RunSpec) -> RunRecord:
    """Return the record of the run that the spec describes.

    It depends on the spec alone, times aside, whatever ran before in the process: one
    thread computes, and every random number comes from the seed's own streams. An
    exception becomes a failed record with its message.
    """
    began = time.perf_counter()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = Progress()
    try:
        train(run, spec, checked(spec))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the record
        run.status = Status.FAILED
        told = "" if isinstance(error, LabError) else f"{type(error).__name__}: "
        run.error = f"{told}{error}"
    finally:
        torch.set_num_threads(threads)
    return run.record(spec, time.perf_counter() - began)


def checked(spec: RunSpec) -> Task:
    """Return the spec's task, after comparing version, steps and data."""
    task = modified.find(spec.task, spec.steps)
    asked = spec.task_version, spec.steps, spec.data
    if asked != (task.version, task.steps, task.data()):
        raise ValueError(
            f"the run was planned for version {spec.task_version} of {spec.task} with "
            f"{spec.steps} steps and data {spec.data[:12]}; here are version "
            f"{task.version}, {task.steps} steps and data {task.data()[:12]}"
        )
    return task


def train(run: Progress, spec: RunSpec, task: Task) -> None:
    """Train to the last step, or until the run diverges.

    A run of which there are snapshots goes on from the last.
    """
    made = modified.begin(
        spec.task,
        task,
        spec.seed,
        lambda parameters: contender.find(spec.contender).optimizer(
            parameters, spec.lr, spec.options
        ),
    )
    run.parameters = sum(each.numel() for each in made.problem.parameters())
    snapshots = Snapshots(spec, made)
    run.status = follow(run, made, snapshots)
    snapshots.forget()


def follow(run: Progress, made: Making, snapshots: Snapshots) -> Status:
    """Take the steps that are left, and return how the run ended."""
    task, problem = made.task, made.problem
    grid = set(task.grid())
    for step in range(snapshots.resume(run), task.steps):
        snapshots.keep(step, run)
        if step in grid and not run.evaluate(step, problem):
            return Status.DIVERGED
        made.stepper.zero_grad()
        loss = problem.loss(step)
        loss.backward()  # type: ignore[no-untyped-call]
        if not math.isfinite(value := loss.item()) or value > task.limit:
            return Status.DIVERGED
        began = time.perf_counter()
        made.stepper.step()
        run.optimizer_seconds += time.perf_counter() - began
    finished = run.evaluate(task.steps, problem)
    return Status.FINISHED if finished else Status.DIVERGED


def warm_up() -> None:
    """Pay once for what torch loads when the first optimizer of a process steps."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    parameter.square().sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions that a run's result depends on.

    ``source`` is a digest of the optimizers' code: editing an optimizer makes its runs
    new runs, even where the version number stays.
    """
    return {
        "mementum": mementum.__version__,
        "source": source_digest(map(Path, mementum.__path__)),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


SOURCES = ("**/*.py", "native/*.cpp", "native/*.inc", "native/*.h")


def source_digest(folders: Iterable[Path]) -> str:
    """Return a digest of the package without the lab, wherever its folders lie.

    An editable install spreads the package over two folders. A file that is in both
    counts as Python finds it: the first folder wins.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in (path for each in SOURCES for path in folder.glob(each)):
            name = path.relative_to(folder).as_posix()
            if not name.startswith("lab/"):
                found.setdefault(name, path)
    if not found:
        raise LabError(
            "no source of mementum is found, so results could not be told from those "
            "of another version; install mementum as ordinary files."
        )
    digest = hashlib.sha256()
    for name, path in sorted(found.items()):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


@functools.cache
def environment() -> dict[str, str]:
    """Return what identifies the machine and the software of a run."""
    return {
        **versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": processor(),
        "threads": "1",
    }


def processor() -> str:
    """Return the name of the processor."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
