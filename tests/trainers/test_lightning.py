"""Lightning's Trainer, with its precisions, clipping and checkpoints."""

from __future__ import annotations

import csv
import logging
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    EAGER,
    Member,
    Options,
    bits_of,
    kinds,
    paths,
    same_bits,
)
from tests.trainers import pages
from tests.trainers.replay import ends, recorded
from tests.trainers.work import BATCHES, FORMATS, ROWS, network, rows, scheduled
from torch import Tensor
from torch.utils.data import DataLoader

from mementum import install
from mementum.torch import AdaXW
from mementum.torch.integrations.lightning import telemetry_callback
from mementum.torch.integrations.logged_telemetry import entries

LIMIT = 0.5
MIXED = ("bf16-mixed", "16-mixed")
PRECISIONS = ("32-true", "bf16-true", *MIXED)

pytestmark = [
    pytest.mark.process,
    # Lightning asks for a class that torch is about to rename.
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec:FutureWarning"),
    # It would rather have the one core's batches loaded by processes of their own.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # The scaler of float16 leaves out the first step, and the schedule goes on.
    pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step"),
]


@pytest.fixture(scope="module", autouse=True)
def _lightning(loaded: Callable[[str], None]) -> None:
    loaded("lightning.pytorch")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def module(
    member: type[torch.optim.Optimizer], options: Options | None = None, **kind: bool
) -> Any:
    """Return a module that makes its optimizer, and records what it is given."""
    import lightning

    class Module(lightning.LightningModule):
        automatic_optimization = not kind.get("manual", False)

        def __init__(self) -> None:
            super().__init__()
            self.net = network()
            self.recording: Any = None

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            inputs, classes = batch
            output = self.net(inputs.to(self.dtype))
            return torch.nn.functional.cross_entropy(output, classes)

        def configure_optimizers(self) -> Any:
            self.optimizer = member(self.parameters(), lr=5e-3, **(options or {}))
            self.recording = recorded(self.optimizer)
            schedule = {"scheduler": scheduled(self.optimizer), "interval": "step"}
            return {"optimizer": self.optimizer, "lr_scheduler": schedule}

    class Manual(Module):
        def training_step(self, batch: list[Tensor], index: int) -> None:
            optimizer, schedule = self.optimizers(), self.lr_schedulers()
            self.manual_backward(super().training_step(batch, index))
            if index % 2:
                self.clip_gradients(optimizer, LIMIT, "norm")
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()

    return Manual() if kind.get("manual") else Module()


def trainer(precision: str = "32-true", **settings: Any) -> Any:
    """Return a trainer, with float16's scaler although the device is a CPU."""
    import lightning
    from lightning.pytorch.plugins.precision import MixedPrecision

    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "max_epochs": 1,
    }
    if precision == "16-mixed":
        # Its first scale is too large for any gradient, its second is not.
        scaler = torch.amp.GradScaler(
            "cpu", init_scale=2.0**40, backoff_factor=2.0**-36
        )
        settings["plugins"] = [MixedPrecision(precision, "cpu", scaler=scaler)]
    else:
        settings["precision"] = precision
    return lightning.Trainer(**(quiet | settings))


def loader() -> Any:
    return DataLoader(rows(), batch_size=ROWS)


@kinds
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_steps_are_the_optimizers_own(member: Member, precision: str) -> None:
    made = module(member)
    trainer(precision, gradient_clip_val=LIMIT).fit(made, loader())
    skipped = precision == "16-mixed"
    norms = made.recording.norms()
    assert len(norms) == BATCHES - skipped
    # torch adds 1e-6 to the norm. Each tensor's norm, theirs together, the sum, the
    # quotient and the products are rounded, in bfloat16 by a 2**-9 at most.
    off = 5 * 2.0**-9 if precision == "bf16-true" else 1e-5
    assert norms == pytest.approx([LIMIT] * len(norms), rel=off)
    assert same_bits(ends(made.optimizer), made.recording.replayed())


@kinds
@paths(EAGER)
@pytest.mark.parametrize("precision", MIXED)
@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_is_refused_on_no_path(
    member: Member, flags: Options, precision: str, algorithm: str
) -> None:
    made = module(member, flags)
    clipping = {"gradient_clip_val": 0.01, "gradient_clip_algorithm": algorithm}
    trainer(precision, **clipping, limit_train_batches=3).fit(made, loader())
    assert same_bits(ends(made.optimizer), made.recording.replayed())


@kinds
@pytest.mark.parametrize("precision", MIXED)
def test_a_captured_step_clips_by_itself(member: Member, precision: str) -> None:
    made = module(member, {"capturable": True})
    with pytest.raises(RuntimeError, match="does not allow for gradient clipping"):
        trainer(precision, gradient_clip_val=LIMIT).fit(made, loader())
    made = module(member, {"capturable": True, "clip_norm": LIMIT})
    trainer(precision).fit(made, loader())
    skipped = int(precision == "16-mixed")
    assert made.optimizer.skipped_steps == skipped
    assert made.optimizer.clipped_steps == BATCHES - skipped


@pytest.mark.parametrize("precision", MIXED)
def test_clipping_is_refused_to_torchs_fused_optimizer(precision: str) -> None:
    # What the test above would meet, were Lightning to think the same of ours.
    made = module(torch.optim.AdamW, {"fused": True})
    with pytest.raises(RuntimeError, match="does not allow for gradient clipping"):
        trainer(precision, gradient_clip_val=LIMIT).fit(made, loader())


@kinds
def test_gradients_are_accumulated_between_steps(member: Member) -> None:
    made = module(member)
    trainer(accumulate_grad_batches=4).fit(made, loader())
    assert len(made.recording.grads) == BATCHES // 4
    assert same_bits(ends(made.optimizer), made.recording.replayed())


@kinds
@pytest.mark.parametrize("precision", PRECISIONS)
def test_manual_optimization_takes_the_same_steps(
    member: Member, precision: str
) -> None:
    made = module(member, manual=True)
    trainer(precision).fit(made, loader())
    assert len(made.recording.grads) == BATCHES // 2 - (precision == "16-mixed")
    assert same_bits(ends(made.optimizer), made.recording.replayed())


@kinds
@pytest.mark.parametrize(("dtype", "options"), FORMATS.values(), ids=FORMATS.keys())
def test_a_resumed_run_ends_as_one_that_was_not_stopped(
    member: Member, dtype: torch.dtype, options: Options, tmp_path: Path
) -> None:
    from lightning.pytorch.callbacks import ModelCheckpoint

    precision = "bf16-true" if dtype == torch.bfloat16 else "bf16-mixed"
    clipped = {"precision": precision, "gradient_clip_val": LIMIT}
    whole, stopped, again = (module(member, options) for _ in range(3))
    trainer(**clipped, max_epochs=2).fit(whole, loader())
    path = None
    for made, epochs, kept in ((stopped, 1, 1), (again, 2, 0)):
        saves = ModelCheckpoint(tmp_path, filename="last", save_top_k=kept)
        saving = {"enable_checkpointing": True, "callbacks": [saves]}
        fitting = {"ckpt_path": path, "weights_only": True}
        run = trainer(**clipped, max_epochs=epochs, **saving)
        run.fit(made, loader(), **fitting)
        path = tmp_path / "last.ckpt"
    assert not same_bits(bits_of(whole.optimizer), bits_of(stopped.optimizer))
    assert same_bits(bits_of(whole.optimizer), bits_of(again.optimizer))


# The page leaves Lightning its default logger, whose interval is longer than the run,
# and its summary of the model.
@pytest.mark.filterwarnings("ignore:The number of training batches .8. is smaller")
@pytest.mark.filterwarnings("ignore:Precision bf16-mixed is not supported by the model")
@pytest.mark.filterwarnings("ignore:Starting from v1.9.0, `tensorboardX`")
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    space = pages.run(
        "trainers/lightning.md",
        model=model,
        loader=loader(),
        loss_of=torch.nn.functional.cross_entropy,
    )
    [optimizer] = space["trainer"].optimizers
    assert isinstance(optimizer, AdaXW)
    assert space["trainer"].global_step == 2 * BATCHES
    assert not same_bits(before, [p.cpu() for p in model.parameters()])
    [kept] = (tmp_path / "lightning_logs").glob("*/metrics.csv")
    rows = csv.DictReader(kept.read_text("utf-8").splitlines())
    steps = [row["step"] for row in rows if row["telemetry/overall/rms_update"]]
    assert steps == ["10"]


def keeping() -> Any:
    """Return a logger of Lightning that keeps what it is told of telemetry."""
    from lightning.pytorch.loggers.logger import DummyLogger

    class Keeping(DummyLogger):
        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            if any(name.startswith("telemetry/") for name in metrics):
                assert step not in self.told
                self.told[step] = dict(metrics)

    made = Keeping()
    made.told = {}
    return made


@kinds
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("accumulated", [1, 2])
def test_telemetry_is_logged_every_so_many_steps(
    member: Member, precision: str, accumulated: int
) -> None:
    made, kept = module(member), keeping()
    callbacks = [telemetry_callback(every=2)]
    how = {"callbacks": callbacks, "accumulate_grad_batches": accumulated}
    trainer(precision, logger=kept, **how).fit(made, loader())
    steps = [*range(2, BATCHES // accumulated + 1, 2)]
    assert [*kept.told] == steps
    # A scaler leaves the first step out; Lightning counts it.
    skipped = precision == "16-mixed"
    found = [each["telemetry/overall/steps"] for each in kept.told.values()]
    assert found == [step - skipped for step in steps]
    last, flat = kept.told[steps[-1]], made.optimizer.telemetry().flat()
    for name in ("group0/coordinates", "group0/memory_steps", "group0/rms_weight"):
        assert last[f"telemetry/{name}"] == flat[name]


def two_optimizers(*members: type[torch.optim.Optimizer]) -> Any:
    """Return a module with an optimizer for each half, stepped by hand in turn."""
    import lightning

    class Module(lightning.LightningModule):
        automatic_optimization = False

        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: list[Tensor], index: int) -> None:
            inputs, classes = batch
            for optimizer in self.optimizers():
                loss = torch.nn.functional.cross_entropy(self.net(inputs), classes)
                self.manual_backward(loss)
                optimizer.step()
                optimizer.zero_grad()

        def configure_optimizers(self) -> Any:
            halves = self.net[0], self.net[2]
            return [
                member(half.parameters(), lr=5e-3)
                for member, half in zip(members, halves, strict=True)
            ]

    return Module()


def test_of_several_optimizers_those_of_the_family_are_read() -> None:
    kept = keeping()
    made = two_optimizers(torch.optim.SGD, AdaXW)
    callbacks = [telemetry_callback(every=5)]
    trainer(logger=kept, callbacks=callbacks).fit(made, loader())
    # Two steps a batch: an interval ends within the third, and with the fifth.
    assert [*kept.told] == [6, 10, 16]
    assert kept.told[16]["telemetry/optimizer1/overall/steps"] == BATCHES
    assert not [name for name in kept.told[16] if "optimizer0" in name]


def test_other_optimizers_are_refused_when_training_begins() -> None:
    made = module(torch.optim.SGD)
    how = {"logger": keeping(), "callbacks": [telemetry_callback()]}
    with pytest.raises(TypeError, match="the optimizer is SGD, and only those of"):
        trainer(**how).fit(made, loader())
    with pytest.raises(TypeError, match="the optimizer is SGD, Adam, and only"):
        trainer(**how).fit(two_optimizers(torch.optim.SGD, torch.optim.Adam), loader())


def test_a_trainer_without_a_logger_is_refused() -> None:
    with pytest.raises(ValueError, match=r"logger is None, .* Trainer\(logger=True\)"):
        trainer(callbacks=[telemetry_callback()]).fit(module(AdaXW), loader())


def test_a_run_that_is_continued_is_logged_at_the_same_steps(tmp_path: Path) -> None:
    from lightning.pytorch.callbacks import ModelCheckpoint

    path = None
    for epochs, saved, logged in ((1, 1, [6]), (2, 0, [12])):
        kept = keeping()
        saves = ModelCheckpoint(tmp_path, filename="last", save_top_k=saved)
        callbacks = [saves, telemetry_callback(every=6)]
        settings = {"enable_checkpointing": True, "max_epochs": epochs}
        run = trainer(logger=kept, callbacks=callbacks, **settings)
        run.fit(module(AdaXW), loader(), ckpt_path=path, weights_only=True)
        path = tmp_path / "last.ckpt"
        assert [*kept.told] == logged


def test_it_is_read_through_the_wrapper_that_lightning_hands_out() -> None:
    from lightning.pytorch.core.optimizer import LightningOptimizer

    made = module(AdaXW)
    trainer().fit(made, loader())
    found = entries([LightningOptimizer(made.optimizer)])
    assert found["telemetry/overall/steps"] == BATCHES


def test_it_can_be_sent_to_another_process() -> None:
    callback = telemetry_callback(every=7)
    again = pickle.loads(pickle.dumps(callback))
    assert type(again).__name__ == type(callback).__name__
    kept = keeping()
    trainer(logger=kept, callbacks=[again]).fit(module(AdaXW), loader())
    assert [*kept.told] == [7]


def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        telemetry_callback()
    command = install.command("trainers")
    assert str(caught.value) == f"telemetry_callback needs lightning: run {command}."
