"""Laws of losses that are read in blocks: a run ends where it would have ended."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.lab.running.test_run import planned, timeless

from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.running import loop, modifiers, snapshot
from mementum.lab.running.loop import execute
from mementum.lab.running.run_state import Progress
from mementum.lab.running.stepping.closure import BLOCK, Losses, block
from mementum.lab.tasks.task import Size, Task, Tier, entry

STEPS = 3 * BLOCK
ENDS = [0, 1, 2, 3, 29, 30, 31, BLOCK - 1, BLOCK, BLOCK + 1, STEPS - 1, STEPS]


class Falling:
    """A loss that is unbearable at one step, and an error later on."""

    def __init__(self, end: int, worst: float, raises: int | None) -> None:
        self.end, self.worst, self.raises = end, worst, raises
        self.place = torch.nn.Parameter(torch.ones(2))
        self.seen = 0

    def parameters(self) -> list[torch.nn.Parameter]:
        return [self.place]

    def loss(self, step: int) -> torch.Tensor:
        if self.raises is not None and step >= self.raises:
            raise ValueError("index out of range")
        self.seen = min(step + 1, 3)
        return self.place.sum().exp() * (self.worst if step == self.end else 1.0)

    def first_batches(self) -> str:
        return f"{self.seen} batches"

    def evaluate(self) -> tuple[float, float]:
        return 1.0, float(self.place.detach().sum())


def falling(end: int, worst: float = math.nan, raises: int | None = None) -> Task:
    return entry(
        "falling",
        "",
        "",
        start=lambda seed: Falling(end, worst, raises),
        data=lambda: "00",
        sizes={Tier.QUICK: Size(STEPS, 5, 0.1)},
        limit=1e3,
        scale="linear",
    )


def trained(task: Task, spec: RunSpec) -> RunRecord:
    run = Progress()
    loop.train(run, spec, task)
    return replace(run.record(spec, 0.0), optimizer_seconds=0.0)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modifiers, "block", lambda parameters: BLOCK)


@pytest.mark.parametrize("worst", [math.nan, math.inf, 1e9])
@pytest.mark.parametrize("end", ENDS)
def test_a_divergence_that_is_seen_late_leaves_the_same_record(
    end: int, worst: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = planned("mlp-digits", "SGD", 1e-3)
    at_once = trained(falling(end, worst), spec)
    monkeypatch.setattr(modifiers, "block", lambda parameters: BLOCK)
    late = trained(falling(end, worst), spec)
    assert late == at_once
    assert (late.status is Status.FINISHED) is (end == STEPS)
    assert all(step <= end for step in late.curve.steps)


@pytest.mark.usefixtures("blocks")
def test_what_fails_after_a_divergence_is_the_divergence() -> None:
    spec = planned("mlp-digits", "SGD", 1e-3)
    late = trained(falling(35, raises=40), spec)
    assert late.status is Status.DIVERGED
    assert late.curve.steps == (0, 30)
    with pytest.raises(ValueError, match="out of range"):
        trained(falling(35, raises=20), spec)


@pytest.mark.parametrize(
    ("name", "lr"), [("SGD", 1e30), ("SGD", 30.0), ("AdaXW", 0.01)]
)
def test_a_task_has_the_same_record_in_blocks(
    name: str, lr: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = planned("mlp-digits", name, lr)
    at_once = execute(spec)
    monkeypatch.setattr(modifiers, "block", lambda parameters: BLOCK)
    assert timeless(execute(spec)) == timeless(at_once)


@pytest.mark.usefixtures("blocks")
def test_no_snapshot_is_kept_before_its_losses_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = []
    monkeypatch.setattr(
        snapshot.Snapshots,
        "keep",
        lambda self, step, run: unread.append(
            (step, len(self._run_state.losses.unread))
        ),
    )
    trained(falling(STEPS), planned("mlp-digits", "SGD", 1e-3))
    assert len(unread) > 3
    assert {count for _, count in unread} == {0}


def test_an_accelerator_is_waited_for_once_a_block() -> None:
    losses = Losses(10.0, block([torch.zeros(1, device="meta")]))
    loss = torch.ones((), device="meta")
    losses.unread = [loss] * (BLOCK - 2)
    # The meta device has no numbers: a reading would be an error.
    assert losses.take(loss, 60)
    with pytest.raises((NotImplementedError, RuntimeError)):
        losses.take(loss, 61)
    assert block([torch.zeros(1)]) == 1
