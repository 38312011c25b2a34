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
            Path(folder)
            if folder and plainly and isinstance(run_state.problem, Resumable)
            else None
        )

    def resume(self, run: Progress) -> int:
        """Bring the run to where its last whole snapshot has it; return the step."""
        for path in reversed(self._paths()):
            try:
                found = torch.load(path, weights_only=True)
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

    def _tensors(self) -> list[torch.Tensor]:
        problem = self._run_state.problem
        assert isinstance(problem, Resumable)
        return problem.tensors()

    def _state(self, step: int, run: Progress, now: float) -> dict[str, Any]:
        return {
            "step": step,
            "seconds": run.earlier + now - self._began,
            "run": {name: getattr(run, name) for name in COUNTED},
            "tensors": [tensor.detach() for tensor in self._tensors()],
            "optimizer": self._run_state.optimizer.state_dict(),
        }

    def _restored(self, found: dict[str, Any], run: Progress) -> int:
        step: int = found["step"]
        pairs = list(zip(self._tensors(), found["tensors"], strict=True))
        if any(mine.shape != kept.shape for mine, kept in pairs):
            raise ValueError("the snapshot is another model's")
        counted = {name: found["run"][name] for name in COUNTED}
        counted["earlier"] = found["seconds"]
        self._run_state.optimizer.load_state_dict(found["optimizer"])
        with torch.no_grad():
            for mine, kept in pairs:
                mine.copy_(kept)
        for name, value in counted.items():
            setattr(run, name, value)
        if isinstance(self._run_state.stepper, Scheduled):
            self._run_state.stepper.step_number = step
        return step
