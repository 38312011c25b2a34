"""torch.optim.swa_utils beside the family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, Options, bits_of, kinds, same_bits
from tests.trainers import pages
from tests.trainers.replay import recorded
from tests.trainers.work import CLASSES, FORMATS, ROWS, WIDTH, rows
from torch import Tensor, nn
from torch.optim.swa_utils import (
    SWALR,
    AveragedModel,
    get_ema_multi_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)
from torch.utils.data import DataLoader

from mementum.torch import AdaXW

EPOCHS, DECAY, SWA_LR = 4, 0.9, 1e-3
Averaging = Callable[..., None]
AVERAGES: dict[str, Callable[[], Averaging]] = {
    "mean": get_swa_multi_avg_fn,
    "exponential": lambda: get_ema_multi_avg_fn(DECAY),
}
averages = pytest.mark.parametrize("average", AVERAGES)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(WIDTH, 64), nn.BatchNorm1d(64), nn.Linear(64, CLASSES)
    )


def loader() -> Any:
    return DataLoader(rows(), batch_size=ROWS)


class Run:
    """Training that can be left between epochs, with an average unless there is none."""

    def __init__(
        self,
        member: Member,
        options: Options | None = None,
        dtype: torch.dtype = torch.float32,
        average: str | None = "mean",
    ) -> None:
        self.dtype = dtype
        self.model = network().to(dtype)
        self.optimizer = member(self.model.parameters(), lr=5e-3, **(options or {}))
        self.schedule = SWALR(self.optimizer, swa_lr=SWA_LR, anneal_epochs=2)
        self.averaged = None
        if average is not None:
            how = AVERAGES[average]()
            self.averaged = AveragedModel(self.model, multi_avg_fn=how)
        self.passed: list[list[Tensor]] = []

    def epochs(self, count: int) -> None:
        for _ in range(count):
            for inputs, classes in loader():
                self.optimizer.zero_grad()
                output = self.model(inputs.to(self.dtype))
                nn.functional.cross_entropy(output, classes).backward()
                self.optimizer.step()
            self.schedule.step()
            if self.averaged is not None:
                self.averaged.update_parameters(self.model)
            self.passed.append([p.detach().clone() for p in self.model.parameters()])

    def everything(self) -> list[Any]:
        averaged = [] if self.averaged is None else list(self.averaged.parameters())
        return [*bits_of(self.optimizer), *self.model.buffers(), *averaged]


@kinds
@averages
def test_averaging_changes_no_step(member: Member, average: str) -> None:
    plain, averaging = Run(member, average=None), Run(member, average=average)
    plain.epochs(EPOCHS)
    averaging.epochs(EPOCHS)
    assert same_bits(bits_of(plain.optimizer), bits_of(averaging.optimizer))


@kinds
@averages
def test_the_average_is_of_the_weights_that_were_passed(
    member: Member, average: str
) -> None:
    run = Run(member, average=average)
    run.epochs(EPOCHS)
    assert run.averaged is not None
    kept = 1 / EPOCHS if average == "mean" else 1 - DECAY
    weights = [kept] * EPOCHS
    if average == "exponential":
        weights = [DECAY ** (EPOCHS - 1)]
        weights += [kept * DECAY**k for k in reversed(range(EPOCHS - 1))]
    for index, found in enumerate(run.averaged.module.parameters()):
        stack = torch.stack([params[index].double() for params in run.passed])
        wanted = torch.tensordot(torch.tensor(weights).double(), stack, dims=1)
        # Each update rounds a difference, a product and a sum to half an ulp of what
        # is at most the largest of the weights passed.
        bound = 3 * EPOCHS * 2.0**-24 * stack.abs().amax(0)
        assert bool(((found.detach().double() - wanted).abs() <= bound).all())


@kinds
def test_the_annealed_rate_is_the_one_stepped_with(member: Member) -> None:
    run = Run(member)
    recording = recorded(run.optimizer)
    run.epochs(EPOCHS)
    by_epoch = [rate for [rate] in recording.rates[:: len(recording.rates) // EPOCHS]]
    # Half of a cosine from 5e-3 to 1e-3 in two epochs.
    assert by_epoch == pytest.approx([5e-3, 3e-3, SWA_LR, SWA_LR])
    replayed = recording.replayed()
    assert same_bits(replayed, [p.detach() for p in run.model.parameters()])


@kinds
def test_statistics_of_the_averaged_weights_are_collected(member: Member) -> None:
    run = Run(member)
    run.epochs(EPOCHS)
    assert run.averaged is not None
    before = bits_of(run.optimizer)
    update_bn(loader(), run.averaged)
    linear, norm, _ = run.averaged.module
    inputs = torch.stack([row for row, _ in rows()])
    mean = linear(inputs).detach().mean(0)
    # Batches of one size: the mean of their means is the mean, but for roundings.
    assert torch.allclose(norm.running_mean, mean, rtol=0, atol=1e-6)
    assert same_bits(before, bits_of(run.optimizer))


@kinds
@pytest.mark.parametrize(("dtype", "options"), FORMATS.values(), ids=FORMATS.keys())
def test_a_loaded_run_continues_as_if_never_left(
    member: Member, dtype: torch.dtype, options: Options
) -> None:
    whole, stopped, again = (Run(member, options, dtype) for _ in range(3))
    whole.epochs(EPOCHS)
    stopped.epochs(EPOCHS // 2)
    for name in ("model", "averaged", "schedule", "optimizer"):
        saved = getattr(stopped, name).state_dict()
        getattr(again, name).load_state_dict(saved)
    assert not same_bits(whole.everything(), again.everything())
    again.epochs(EPOCHS - EPOCHS // 2)
    assert same_bits(whole.everything(), again.everything())


def test_the_page_runs() -> None:
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    space = pages.run(
        "training/averaging.md",
        model=model,
        loader=loader(),
        loss_of=nn.functional.cross_entropy,
    )
    assert isinstance(space["optimizer"], AdaXW)
    assert space["optimizer"].param_groups[0]["lr"] == SWA_LR
    assert int(space["averaged"].n_averaged) == EPOCHS
    assert not same_bits(before, list(space["averaged"].parameters()))
