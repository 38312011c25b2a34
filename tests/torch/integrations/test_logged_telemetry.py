"""What trainers log is the telemetry of the optimizer inside whatever wraps it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, kinds
from torch import nn

from mementum.torch import AdaXW
from mementum.torch.integrations.logged_telemetry import entries, interval


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2))]


def wrapped(optimizer: object, *names: str) -> Any:
    """Return an optimizer inside wrappers that keep it under given names."""
    for name in names:
        optimizer = SimpleNamespace(**{name: optimizer})
    return optimizer


@kinds
@pytest.mark.parametrize(
    "names", [(), ("optimizer",), ("optim",), ("optim", "optimizer", "optimizer")]
)
def test_wrappers_change_nothing(member: Member, names: tuple[str, ...]) -> None:
    optimizer = member(parameters(), lr=5e-3)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
    optimizer.step()
    flat = optimizer.telemetry().flat()
    found = entries([wrapped(optimizer, *names)])
    assert found == {f"telemetry/{name}": value for name, value in flat.items()}


def test_each_of_several_optimizers_has_its_own_names() -> None:
    found = entries([AdaXW(parameters()), wrapped(AdaXW(parameters()), "optimizer")])
    assert {name.split("/")[1] for name in found} == {"optimizer0", "optimizer1"}


def ring() -> Any:
    """Return a wrapper that holds itself."""
    made = SimpleNamespace()
    made.optimizer = made
    return made


@pytest.mark.parametrize(
    ("optimizers", "words"),
    [
        ([torch.optim.AdamW(parameters())], "the optimizer is AdamW, and only"),
        ([wrapped(torch.optim.SGD(parameters()), "optim")], "the optimizer is SGD,"),
        ([None], "the optimizer is NoneType,"),
        ([], "the optimizer is not there,"),
        ([ring()], "the optimizer is SimpleNamespace,"),
    ],
)
def test_what_is_of_another_family_is_refused(
    optimizers: list[Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        entries(optimizers)


@pytest.mark.parametrize(
    ("every", "kind"),
    [(0, ValueError), (-1, ValueError), (True, TypeError), (2.5, TypeError)],
)
def test_an_impossible_interval_is_refused(every: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"every is {every!r}; it is the number of steps"):
        interval(every)
