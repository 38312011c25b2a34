"""What a long run has come to, kept while it runs, so that a killed one goes on.

All that a task draws is a function of its seed and of the step. So the tensors that
training changes, the optimizer's state and the curve are the whole of a run, and one
that goes on from them ends with the bits of an undisturbed one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from mementum.lab.records import atomic
from mementum.lab.running.modifiers import Scheduled

if TYPE_CHECKING:
    from mementum.lab.records.run import RunSpec
    from mementum.lab.running.run_state import Progress, RunState

VARIABLE = "MEMENTUM_UNFINISHED"
"""Names the environment variable with the folder; without it nothing is kept."""
EVERY = 60.0
"""Seconds between two snapshots; a run that is shorter makes none."""
_KEPT = 2
"""How many are kept of a run: the last may be damaged."""
COUNTED = "steps", "train", "validation", "optimizer_seconds"


@runtime_checkable
class Resumable(Protocol):
    """A problem that can go on in another process."""

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor that training changes, parameters included."""
        ...


@contextmanager
def snapshots_in(folder: Path) -> Generator[None, None, None]:
    """Let the processes that are begun inside keep snapshots in this folder.

    A folder that the environment names already stays the one.
    """
    before = os.environ.get(VARIABLE)
    os.environ.setdefault(VARIABLE, str(folder.absolute()))
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        with suppress(OSError):
            folder.rmdir()


class Snapshots:
    """The snapshots of one run."""

    def __init__(self, spec: RunSpec, run_state: RunState) -> None:
        self._name = spec.run_id
        self._run_state = run_state
        self._began = self._last = time.perf_counter()
        folder = os.environ.get(VARIABLE)
        stepper, optimizer = run_state.stepper, run_state.optimizer
        plainly = stepper is optimizer or (
            isinstance(stepper, Scheduled) and stepper.inner is optimizer
        )
        self._folder = (
            Path(folder) if folder and plainly and resumable(run_state) else None
        )

    def resume(self, run: Progress) -> int:
        """Bring the run to where its last whole snapshot has it; return the step."""
        for path in reversed(self._paths()):
            try:
                # Another card than the one it was kept on may be at hand.
                found = torch.load(path, map_location="cpu", weights_only=True)
                return self._restored(found, run)
            except Exception:  # noqa: BLE001 - whatever a damaged file raises
                with suppress(OSError):
                    path.unlink()
        return 0

    def keep(self, step: int, run: Progress) -> None:
        """Keep the run as it is before this step, if the last time is long ago.

        What cannot be written is not kept, and the run goes on.
        """
        now = time.perf_counter()
        if self._folder is None or now - self._last < EVERY:
            return
        self._last = now
        place = self._folder / f"{self._name}-{step:012}.pt"
        unfinished = place.with_suffix(f".{os.getpid()}")
        with suppress(OSError, RuntimeError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with (
                atomic.replacing(place, unfinished),
                unfinished.open("wb") as file,
            ):
                torch.save(self._state(step, run, now), file)
            for old in self._paths()[:-_KEPT]:
                old.unlink()

    def forget(self) -> None:
        """Remove the snapshots, half-written ones too: the run has its record."""
        for path in self._paths(".*"):
            with suppress(OSError):
                path.unlink()

    def _paths(self, ending: str = ".pt") -> list[Path]:
        """Return the files of the run's snapshots, the oldest first."""
        if self._folder is None:
            return []
        return sorted(self._folder.glob(f"{self._name}-*{ending}"))

    def _state(self, step: int, run: Progress, now: float) -> dict[str, Any]:
        return {
            **state(self._run_state, step),
            "seconds": run.earlier + now - self._began,
            "run": {name: getattr(run, name) for name in COUNTED},
        }

    def _restored(self, found: dict[str, Any], run: Progress) -> int:
        counted = {name: found["run"][name] for name in COUNTED}
        counted["earlier"] = found["seconds"]
        step = restore(self._run_state, found)
        for name, value in counted.items():
            setattr(run, name, value)
        return step


def resumable(run_state: RunState) -> bool:
    """Return whether the run's problem can go on in another process."""
    return run_state.task.resumable and isinstance(run_state.problem, Resumable)


def state(run_state: RunState, step: int) -> dict[str, Any]:
    """Return what decides how a run goes on before a step, in tensors of its own."""
    problem = run_state.problem
    assert isinstance(problem, Resumable)
    return {
        "step": step,
        "tensors": [tensor.detach() for tensor in problem.tensors()],
        "optimizer": run_state.optimizer.state_dict(),
    }


def restore(run_state: RunState, found: dict[str, Any]) -> int:
    """Bring a run that has just begun to where `state` was taken; return the step."""
    problem, step = run_state.problem, int(found["step"])
    assert isinstance(problem, Resumable)
    pairs = list(zip(problem.tensors(), found["tensors"], strict=True))
    if any(mine.shape != kept.shape for mine, kept in pairs):
        raise ValueError("the snapshot is another model's")
    run_state.optimizer.load_state_dict(found["optimizer"])
    with torch.no_grad():
        for mine, kept in pairs:
            mine.copy_(kept)
    if isinstance(run_state.stepper, Scheduled):
        run_state.stepper.step_number = step
    return step
