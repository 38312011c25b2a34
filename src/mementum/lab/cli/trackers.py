"""Hands finished runs to a tracker, for those who like to watch.

trackio and wandb share an interface of three calls: `init` opens a run and returns it,
the run's `log` takes a point of a curve, and `finish` closes the run that is open.
TensorBoard and MLflow are made to look the same. None is required, and none can stop a
comparison: a tracker that fails is dropped with a sentence, and the store has every
result anyway.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from mementum.lab.errors import LabError
from mementum.lab.records.run import RunRecord

_PROJECT = "mementum-compare"
_PACKAGES = {
    "trackio": "trackio",
    "wandb": "wandb",
    "tensorboard": "torch.utils.tensorboard",
    "mlflow": "mlflow",
}


class _Open(Protocol):
    """A run that a tracker has open."""

    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Take the values of one step."""


class _Tracker(Protocol):
    """What trackio and wandb have in common."""

    def init(
        self, *, project: str, name: str, group: str, config: dict[str, Any]
    ) -> _Open:
        """Open a run."""

    def finish(self) -> None:
        """Close the run that is open."""


class _TensorBoard:
    """TensorBoard's event files, behind the same calls."""

    def __init__(self, writer: Callable[..., Any], folder: Path) -> None:
        self.writer = writer
        self.folder = folder
        self.open: Any = None

    def init(
        self, *, project: str, name: str, group: str, config: Mapping[str, Any]
    ) -> _Open:
        """Open a run in a folder of its own."""
        self.open = self.writer(log_dir=str(self.folder / name))
        words = "\n".join(f"{key}: {value}" for key, value in config.items())
        self.open.add_text("config", words)
        return self

    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Write the values of one step."""
        for name, value in metrics.items():
            self.open.add_scalar(name, value, global_step=step)

    def finish(self) -> None:
        """Close the files."""
        self.open.close()


class _MLflow:
    """MLflow's runs, behind the same calls."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def init(
        self, *, project: str, name: str, group: str, config: Mapping[str, Any]
    ) -> _Open:
        """Open a run in the experiment that is named for the project."""
        self.module.set_experiment(project)
        self.module.start_run(run_name=name, tags={"group": group})
        self.module.log_params({**config})
        return self

    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Write the values of one step."""
        self.module.log_metrics(metrics, step=step)

    def finish(self) -> None:
        """Close the run that is open."""
        self.module.end_run()


class _Watch:
    """Passes records on until the tracker fails.

    Standard output belongs to the comparison. What the tracker prints of the first run
    goes to standard error; it says where the runs are. The rest is dropped: of
    thousands of runs the tracker would say the same.
    """

    def __init__(self, name: str, tracker: _Tracker) -> None:
        self.name = name
        self.tracker: _Tracker | None = tracker
        self.heard = False

    def __call__(self, record: RunRecord) -> None:
        """Hand over a finished run: what decides it, its curve and its end."""
        if self.tracker is None:
            return
        words = io.StringIO() if self.heard else sys.stderr
        self.heard = True
        try:
            with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
                _hand_over(record, self.tracker)
        except Exception as error:  # noqa: BLE001 - no tracker may stop a comparison
            self.tracker = None
            print(
                f"{self.name} takes no more runs ({type(error).__name__}: {error}). "
                "The comparison goes on without it.",
                file=sys.stderr,
            )


def _hand_over(record: RunRecord, tracker: _Tracker) -> None:
    """Log one run from its first point to its last."""
    spec = record.spec
    run = tracker.init(
        project=_PROJECT,
        name=f"{spec.task_label}-{spec.contender_label}-lr{spec.lr:g}-seed{spec.seed}"
        f"-{spec.run_id[:8]}",
        group=f"{spec.task_label}-{spec.contender_label}",
        config={
            "task": spec.task_label,
            "contender": spec.contender_label,
            "lr": spec.lr,
            "seed": spec.seed,
            "status": record.status.value,
            **spec.options,
        },
    )
    curve = record.curve
    points = zip(curve.steps, curve.train, curve.validation, strict=True)
    for step, train, metric in points:
        values = {"train": train, "validation": metric}
        finite = {name: v for name, v in values.items() if math.isfinite(v)}
        if finite:
            run.log(finite, step=step)
    tracker.finish()


def watch(name: str, folder: Path) -> _Watch:
    """Return the tracker of this name, ready to be told of records.

    Errors: `LabError` if its package is not installed.
    """
    try:
        module = importlib.import_module(_PACKAGES[name])
    except ModuleNotFoundError as error:
        raise LabError(
            f"--log {name} needs the package {name}: pip install {name}"
        ) from error
    if name == "tensorboard":
        return _Watch(name, _TensorBoard(module.SummaryWriter, folder / "tensorboard"))
    return _Watch(name, _MLflow(module) if name == "mlflow" else module)
