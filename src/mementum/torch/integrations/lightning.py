"""Telemetry in the loggers of Lightning's Trainer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mementum import install
from mementum.torch.integrations.logged_telemetry import entries, interval, members

if TYPE_CHECKING:
    from lightning import Callback, LightningModule, Trainer


def telemetry_callback(*, every: int = 100) -> Callback:
    """Return a callback that logs `optimizer.telemetry()` every so many steps.

    The trainer's loggers get the numbers, whatever its `log_every_n_steps`, at the
    number of steps taken. The first process reads what it holds.

    Errors: `ModuleNotFoundError` without lightning, and when training begins
    `TypeError` for optimizers of another family and `ValueError` without a logger.
    """
    with install.needing("telemetry_callback", "trainers"):
        from lightning import Callback

    steps = interval(every)

    class TelemetryCallback(Callback):
        """Logs the telemetry of the optimizers that are trained with."""

        def __init__(self) -> None:
            self.taken = 0

        def __reduce__(self) -> tuple[Any, ...]:
            # Where processes are spawned, trainers are sent to them.
            return partial(telemetry_callback, every=steps), ()

        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            """Refuse what has no telemetry, and what would not keep it."""
            members(trainer.optimizers)
            if not trainer.loggers:
                raise ValueError(
                    "telemetry_callback: the trainer's logger is None, so nothing "
                    "would be kept; give it one, as Trainer(logger=True), or leave "
                    "the callback out."
                )
            self.taken = trainer.global_step

        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, *_: Any
        ) -> None:
            """Log what there is to say after the last step."""
            before, self.taken = self.taken, trainer.global_step
            # A batch may take no step, or several.
            if before // steps == self.taken // steps or not trainer.is_global_zero:
                return
            numbers = entries(trainer.optimizers)
            for logger in trainer.loggers:
                logger.log_metrics(numbers, step=self.taken)

    return TelemetryCallback()
