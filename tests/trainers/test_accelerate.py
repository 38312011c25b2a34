"""Accelerate, with a loop of our own around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
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
from torch.utils.data import DataLoader

from mementum.torch import AdaXW, FamilyOptimizer
from mementum.torch.integrations.logged_telemetry import entries

pytestmark = pytest.mark.process
LIMIT = 0.5


@pytest.fixture(scope="module", autouse=True)
def _accelerate(loaded: Callable[[str], None]) -> None:
    loaded("accelerate")


@pytest.fixture(autouse=True)
def _no_state_left() -> Iterator[None]:
    """Accelerate keeps its settings for the process; each test has its own."""
    yield
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


class Run:
    """A training loop that can be stopped after any batch."""

    def __init__(
        self,
        member: Member,
        options: Options | None = None,
        dtype: torch.dtype = torch.float32,
        **settings: Any,
    ) -> None:
        from accelerate import Accelerator

        self.accelerator = Accelerator(cpu=True, **settings)
        model = network(dtype)
        self.inner = member(model.parameters(), lr=5e-3, **(options or {}))
        self.recording = recorded(self.inner)
        self.dtype = dtype
        self.model, self.optimizer, self.loader, self.scheduler = (
            self.accelerator.prepare(
                model,
                self.inner,
                DataLoader(rows(), batch_size=ROWS),
                scheduled(self.inner),
            )
        )

    def batches(self, first: int, last: int) -> None:
        for index, (inputs, classes) in enumerate(self.loader):
            if first <= index < last:
                self.batch(inputs.to(self.dtype), classes)

    def batch(self, inputs: torch.Tensor, classes: torch.Tensor) -> None:
        with self.accelerator.accumulate(self.model):
            output = self.model(inputs)
            loss = torch.nn.functional.cross_entropy(output, classes)
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.model.parameters(), LIMIT)
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad()


@kinds
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_steps_are_the_optimizers_own(member: Member, precision: str) -> None:
    run = Run(member, mixed_precision=precision)
    run.batches(0, BATCHES)
    rates = [rate for [rate] in run.recording.rates]
    assert rates == pytest.approx([5e-3 * 0.8**k for k in range(BATCHES)])
    # torch adds 1e-6 to the norm, and the product is rounded.
    assert run.recording.norms() == pytest.approx([LIMIT] * BATCHES, rel=1e-5)
    assert same_bits(ends(run.inner), run.recording.replayed())


def test_telemetry_is_read_through_the_wrapper() -> None:
    run = Run(AdaXW)
    run.batches(0, 3)
    flat = run.inner.telemetry().flat()
    found = entries([run.optimizer])
    assert found == {f"telemetry/{name}": value for name, value in flat.items()}
    assert found["telemetry/overall/steps"] == 3


@kinds
def test_gradients_are_accumulated_between_steps(member: Member) -> None:
    run = Run(member, gradient_accumulation_steps=4)
    run.batches(0, BATCHES)
    assert len(run.recording.grads) == BATCHES // 4
    assert same_bits(ends(run.inner), run.recording.replayed())


@kinds
@pytest.mark.parametrize(("dtype", "options"), FORMATS.values(), ids=FORMATS.keys())
def test_a_loaded_state_continues_as_if_never_left(
    member: Member, dtype: torch.dtype, options: Options, tmp_path: Path
) -> None:
    whole = Run(member, options, dtype)
    whole.batches(0, BATCHES)
    stopped = Run(member, options, dtype)
    stopped.batches(0, BATCHES // 2)
    stopped.accelerator.save_state(str(tmp_path))
    again = Run(member, options, dtype)
    again.accelerator.load_state(str(tmp_path))
    assert same_bits(bits_of(again.inner), bits_of(stopped.inner))
    again.batches(BATCHES // 2, BATCHES)
    assert same_bits(bits_of(again.inner), bits_of(whole.inner))


def overflowing(member: Member, flags: Options) -> tuple[FamilyOptimizer, list[bool]]:
    """Take three steps of which the second overflows; return what Accelerate says."""
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer

    Accelerator(cpu=True)
    model = network()
    inner = member(model.parameters(), lr=5e-3, **flags)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    optimizer = AcceleratedOptimizer(inner, scaler=scaler)
    skipped = []
    for grad in (1.0, float("inf"), 1.0):
        before = bits_of(inner)
        scaler.scale(torch.ones(()))
        for param in model.parameters():
            param.grad = torch.full_like(param, grad)
        optimizer.step()
        skipped.append(optimizer.step_was_skipped)
        assert same_bits(before, bits_of(inner)) == math.isinf(grad)
    return inner, skipped


@kinds
@paths(EAGER)
def test_a_skipped_step_is_reported_as_skipped(member: Member, flags: Options) -> None:
    _, skipped = overflowing(member, flags)
    assert skipped == [False, True, False]


@kinds
def test_a_captured_step_counts_those_it_left_out(member: Member) -> None:
    inner, skipped = overflowing(member, {"capturable": True})
    # Accelerate asks whether the step was called, and a captured one is always.
    assert skipped == [False, False, False]
    assert inner.skipped_steps == 1
    assert {int(kept["step"]) for kept in inner.state.values()} == {2}


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    space = pages.run(
        "trainers/accelerate.md",
        model=model,
        loader=DataLoader(rows(), batch_size=ROWS),
        loss_of=torch.nn.functional.cross_entropy,
    )
    inner = space["optimizer"].optimizer
    assert isinstance(inner, AdaXW)
    assert {int(kept["step"]) for kept in inner.state.values()} == {BATCHES // 2}
    assert (tmp_path / "state" / "optimizer.bin").is_file()
    assert not same_bits(before, [p.cpu() for p in model.parameters()])
