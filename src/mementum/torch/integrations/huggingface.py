"""Telemetry in the log of Hugging Face's Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mementum import install
from mementum.torch.integrations.logged_telemetry import entries, interval, members

if TYPE_CHECKING:
    from transformers import (
        Trainer,
        TrainerCallback,
        TrainerControl,
        TrainerState,
        TrainingArguments,
    )


def telemetry_callback(trainer: Trainer, *, every: int = 100) -> TrainerCallback:
    """Return a callback that logs `optimizer.telemetry()` every so many steps.

    `trainer` is the one that it is added to: its `log` takes the numbers, and with it
    whatever `report_to` names. Each process reads what it holds, and the first reports.

    Errors: `ModuleNotFoundError` without transformers, and `TypeError` when training
    begins with an optimizer of another family.
    """
    with install.needing("telemetry_callback", "trainers"):
        from transformers import TrainerCallback

    steps = interval(every)
    if not callable(getattr(trainer, "log", None)):
        raise TypeError(
            f"telemetry_callback: trainer is {trainer!r}; it is the Trainer, as in "
            "trainer.add_callback(telemetry_callback(trainer))."
        )

    class TelemetryCallback(TrainerCallback):
        """Logs the telemetry of the optimizer that is trained with."""

        def on_train_begin(
            self,
            args: TrainingArguments,
            state: TrainerState,
            control: TrainerControl,
            optimizer: Any = None,
            **_: Any,
        ) -> None:
            """Refuse an optimizer of another family."""
            members([optimizer])

        def on_step_end(
            self,
            args: TrainingArguments,
            state: TrainerState,
            control: TrainerControl,
            optimizer: Any = None,
            **_: Any,
        ) -> None:
            """Log what there is to say after this step."""
            if state.global_step % steps:
                return
            # Logging takes back the request for the trainer's own log of this step.
            wanted = control.should_log
            trainer.log(entries([optimizer]))
            control.should_log = wanted

    return TelemetryCallback()
