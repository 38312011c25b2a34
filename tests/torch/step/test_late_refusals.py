"""A step that is refused for what a tensor is in memory has changed nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, Options, bits_of, kinds, same_bits
from torch import Tensor

from mementum.torch import AMSGrad, FamilyOptimizer
from mementum.torch.backends import native

kernel = pytest.mark.skipif(native.library() is None, reason="there is no kernel")


def freed_gradient(optimizer: FamilyOptimizer, param: Tensor) -> None:
    param.grad = torch.ones_like(param)
    param.grad.untyped_storage().resize_(0)


def lazy_zero_gradient(optimizer: FamilyOptimizer, param: Tensor) -> None:
    param.grad = torch._efficientzerotensor(param.shape)


def expanded(name: str) -> Callable[[FamilyOptimizer, Tensor], None]:
    def change(optimizer: FamilyOptimizer, param: Tensor) -> None:
        optimizer.state[param][name] = torch.zeros(1).expand(param.shape)

    return change


def negated(name: str) -> Callable[[FamilyOptimizer, Tensor], None]:
    def change(optimizer: FamilyOptimizer, param: Tensor) -> None:
        values = optimizer.state[param][name]
        optimizer.state[param][name] = torch.complex(values, -values).conj().imag

    return change


def negated_parameter(optimizer: FamilyOptimizer, param: Tensor) -> None:
    param.data = torch.complex(param.data, -param.data).conj().imag


def strided_codes(optimizer: FamilyOptimizer, param: Tensor) -> None:
    kept = optimizer.state[param]
    kept["momentum"] = kept["momentum"].t().contiguous().t()


LAZY: dict[str, Callable[[FamilyOptimizer, Tensor], None]] = {
    "negated parameter": negated_parameter,
    **{f"negated {name}": negated(name) for name in ("momentum", "square")},
}
CHANGES: dict[str, Callable[[FamilyOptimizer, Tensor], None]] = LAZY | {
    "freed gradient": freed_gradient,
    "lazy zero gradient": lazy_zero_gradient,
    **{f"expanded {name}": expanded(name) for name in ("momentum", "square")},
}
changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())


def in_two_groups(member: Member, **flags: Any) -> tuple[FamilyOptimizer, list[Tensor]]:
    params = [torch.nn.Parameter(torch.ones(s)) for s in ((2,), (64, 80), (4, 3))]
    optimizer = member([{"params": params[:1]}, {"params": params[1:]}], **flags)
    for _ in range(3):
        for param in params:
            param.grad = torch.ones_like(param)
        optimizer.step()
    return optimizer, params


def refused(optimizer: FamilyOptimizer) -> None:
    before = bits_of(optimizer)
    name = type(optimizer).__name__
    with pytest.raises((RuntimeError, ValueError), match=rf"^{name}: "):
        optimizer.step()
    assert same_bits(bits_of(optimizer), before)


@kernel
@changes
@kinds
def test_groups_before_the_bad_one_are_as_they_were(
    member: Member, change: Callable[[FamilyOptimizer, Tensor], None]
) -> None:
    optimizer, params = in_two_groups(member)
    change(optimizer, params[2])
    refused(optimizer)


@kernel
def test_float8_codes_in_other_strides_are_refused_before_anything_changes() -> None:
    optimizer, params = in_two_groups(AMSGrad, state_dtype="float8")
    strided_codes(optimizer, params[1])
    refused(optimizer)


@pytest.mark.parametrize("change", LAZY.values(), ids=LAZY.keys())
@pytest.mark.parametrize("flags", [{}, {"foreach": True}, {"foreach": False}], ids=str)
def test_what_becomes_a_lazy_negation_is_refused_on_every_path(
    change: Callable[[FamilyOptimizer, Tensor], None], flags: Options
) -> None:
    optimizer, params = in_two_groups(AMSGrad, **flags)
    change(optimizer, params[2])
    refused(optimizer)


@pytest.mark.parametrize("name", ["momentum", "parameter"])
def test_what_becomes_a_lazy_conjugate_is_refused(name: str) -> None:
    param = torch.nn.Parameter(torch.ones(3, dtype=torch.complex64))
    optimizer = AMSGrad([param])
    for _ in range(3):
        param.grad = torch.ones_like(param)
        optimizer.step()
    if name == "parameter":
        param.data = param.data.conj()
    else:
        optimizer.state[param][name] = optimizer.state[param][name].conj()
    refused(optimizer)


@kernel
@pytest.mark.parametrize(
    ("variable", "read"),
    [("MEMENTUM_ISA", native.isa), ("MEMENTUM_THREADS", native.asks_for_own_threads)],
)
def test_a_bad_word_in_the_environment_is_refused_before_anything_changes(
    variable: str, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer, _ = in_two_groups(AMSGrad)
    monkeypatch.setenv(variable, "mmx")
    read.cache_clear()
    try:
        refused(optimizer)
    finally:
        read.cache_clear()
