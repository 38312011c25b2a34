"""What torchao's CPUOffloadOptimizer does to an optimizer, without torchao or a GPU.

Each large tensor has a copy and an optimizer of its own, the small ones share one; a
backward pass copies the gradient, a step the parameter back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, Options, members, same_bits
from tests.trainers import pages
from tests.trainers.work import network, rows
from torch import Tensor, nn
from torch.utils.data import default_collate

from mementum.torch import AdaXW

STEPS, SMALL = 4, 4096


class Offloaded(torch.optim.Optimizer):
    """Optimizers of one tensor each, as torchao has them."""

    def __init__(
        self, params: Iterable[Any], kind: type[torch.optim.Optimizer], **options: Any
    ) -> None:
        entries = [*params]
        groups = entries if isinstance(entries[0], dict) else [{"params": entries}]
        self.copies: dict[Tensor, Tensor] = {}
        self.apart: dict[Tensor, torch.optim.Optimizer] = {}
        self.d_param_groups: list[dict[str, Any]] = []
        self.d_opt: torch.optim.Optimizer | None = None
        for group in groups:
            own = {name: value for name, value in group.items() if name != "params"}
            large = [param for param in group["params"] if param.numel() >= SMALL]
            small = [param for param in group["params"] if param.numel() < SMALL]
            for param in large:
                # Neither a Parameter nor a tensor that wants a gradient.
                copy = torch.empty_like(param).copy_(param.detach())
                copy = copy.detach()
                copy.grad = torch.empty_like(copy)
                self.copies[param] = copy
                self.apart[param] = kind([{"params": copy, **own}], **options)
                param.register_post_accumulate_grad_hook(self.fetch)
            if small:
                self.d_param_groups.append({"params": small, **own})
        if self.d_param_groups:
            self.d_opt = kind(self.d_param_groups, **options)

    def fetch(self, param: Tensor) -> None:
        grad = self.copies[param].grad
        assert grad is not None
        assert param.grad is not None
        grad.copy_(param.grad)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        if self.d_opt is not None:
            self.d_opt.step()
        for param, optimizer in self.apart.items():
            optimizer.step()
            param.copy_(self.copies[param])

    def zero_grad(self, set_to_none: bool = True) -> None:
        for param in self.apart:
            param.grad = None
        if self.d_opt is not None:
            self.d_opt.zero_grad()

    @property
    def param_groups(self) -> Any:
        return [
            *self.d_param_groups,
            *(group for each in self.apart.values() for group in each.param_groups),
        ]

    def state_dict(self) -> Any:
        apart = [optimizer.state_dict() for optimizer in self.apart.values()]
        return {"offloaded": apart, "on-device": self.d_opt and self.d_opt.state_dict()}

    def load_state_dict(self, state_dict: Any) -> None:
        for own, saved in zip(
            self.apart.values(), state_dict["offloaded"], strict=True
        ):
            own.load_state_dict(saved)
        if self.d_opt is not None:
            self.d_opt.load_state_dict(state_dict["on-device"])


def trained(model: nn.Module, optimizer: Any, steps: int) -> list[Tensor]:
    inputs, classes = default_collate(rows())
    for _ in range(steps):
        torch.nn.functional.cross_entropy(model(inputs), classes).backward()
        optimizer.step()
        optimizer.zero_grad()
    return [param.detach().clone() for param in model.parameters()]


def offloaded(model: nn.Module, member: Member, options: Options) -> Offloaded:
    optimizer = Offloaded(model.parameters(), member, lr=1e-3, **options)
    assert len(optimizer.apart) == 2
    assert optimizer.d_opt is not None
    # As the page says.
    optimizer.d_param_groups = optimizer.d_opt.param_groups
    return optimizer


@members
def test_optimizers_of_one_tensor_each_do_what_one_does(member: Member) -> None:
    model, other = network(), network()
    apart, together = (
        trained(model, offloaded(model, member, {}), STEPS),
        trained(other, member(other.parameters(), lr=1e-3), STEPS),
    )
    assert same_bits(apart, together)


@members
@pytest.mark.parametrize("state", [None, "bfloat16", "float8"])
def test_a_resumed_run_ends_as_one_that_was_not_stopped(
    member: Member, state: str | None, tmp_path: Path
) -> None:
    whole, again = network(), network()
    optimizer = offloaded(whole, member, {"state_dtype": state})
    trained(whole, optimizer, STEPS)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    again.load_state_dict(whole.state_dict())
    resumed = offloaded(again, member, {"state_dtype": state})
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    ends = trained(whole, optimizer, STEPS), trained(again, resumed, STEPS)
    assert same_bits(*ends)


def test_a_schedule_reaches_large_and_small_tensors() -> None:
    model, other = network(), network()
    both: list[Any] = [
        offloaded(model, AdaXW, {}),
        AdaXW(other.parameters(), lr=1e-3),
    ]
    ends = []
    for network_, optimizer in zip((model, other), both, strict=True):
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        for _ in range(STEPS):
            ends.append(trained(network_, optimizer, 1))
            schedule.step()
    assert same_bits(ends[:STEPS], ends[STEPS:])


def test_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = ModuleType("torchao.optim")
    stand_in.CPUOffloadOptimizer = Offloaded  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchao", ModuleType("torchao"))
    monkeypatch.setitem(sys.modules, "torchao.optim", stand_in)
    model = network()
    first, second = pages.blocks("trainers/cpu_offload.md", "python")
    space = pages.run_text("trainers/cpu_offload.md", first, model=model)
    optimizer = space["optimizer"]
    assert {group["state_dtype"] for group in optimizer.param_groups} == {"bfloat16"}
    space = pages.run_text("trainers/cpu_offload.md", second, **space)
    decays = [group["weight_decay"] for group in space["optimizer"].param_groups]
    assert sorted(decays) == [0.0, 5e-2, 5e-2]
    trained(model, space["optimizer"], 1)
