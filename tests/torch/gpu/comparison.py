"""The bits of a step on a device beside those of the loop on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from tests.torch.cases import (
    Grads,
    Member,
    Options,
    bits_of,
    give,
    gradients,
    parameters,
)
from torch import Tensor

from mementum.torch import (
    Adam,
    AdaMomentum,
    AdamW,
    AdaX,
    AMSGrad,
    FamilyOptimizer,
    Mementum,
)
from mementum.torch.backends import triton

LOOP: Options = {"foreach": False, "fused": False}

# What parameters and moments are stored in.
FORMATS: dict[str, tuple[torch.dtype, Options]] = {
    "float32": (torch.float32, {}),
    "float32+bfloat16": (torch.float32, {"state_dtype": "bfloat16"}),
    "float32+float8": (torch.float32, {"state_dtype": "float8"}),
    "bfloat16+float32": (torch.bfloat16, {}),
    "bfloat16 with noise": (
        torch.bfloat16,
        {"state_dtype": "bfloat16", "stochastic_rounding": True},
    ),
    "bfloat16+float8 with noise": (
        torch.bfloat16,
        {"state_dtype": "float8", "stochastic_rounding": True},
    ),
    "bfloat16+float32 with noise": (torch.bfloat16, {"stochastic_rounding": True}),
    "float16+float32": (torch.float16, {}),
    "float16+bfloat16 with noise": (
        torch.float16,
        {"state_dtype": "bfloat16", "stochastic_rounding": True},
    ),
    "float64": (torch.float64, {}),
}
# One with each switch of a rule: what is squared, what moves, the peak, either decay.
RULES: dict[str, tuple[Member, Options]] = {
    "AdamW": (AdamW, {}),
    "Adam with decay": (Adam, {"weight_decay": 0.1}),
    "AMSGrad": (AMSGrad, {}),
    "AdaX": (AdaX, {}),
    "AdaMomentum": (AdaMomentum, {}),
    "Mementum of residuals": (Mementum, {"square_of": "residual"}),
}
formats = pytest.mark.parametrize("form", FORMATS)
rules = pytest.mark.parametrize("rule", RULES)

# Around the 1,024 elements of a program and the 256 of a block; float8 from 4,096 on.
SHAPES = ((), (0,), (7,), (1_023,), (2_049,), (33, 257), (16, 256), (5, 3, 17, 19))
FEW = ((5,), (17, 257))
# Gradients of steps that are others than those before.
_DRAWN = 10
SPECIAL = (float("inf"), float("-inf"), float("nan"), 0.0, -0.0, 1e-41, -1e-41, 3e38)


class Difference(NamedTuple):
    """How many elements differ, of how many, NaN equal to NaN."""

    elements: int
    of: int


def asked(device: torch.device) -> Options:
    """Return the flags that ask for Triton where it can be asked."""
    return {"fused": True} if triton.device == device.type else {}


def placed(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return leaf copies on a device."""
    return [x.detach().to(device, copy=True).requires_grad_() for x in tensors]


def draws(params: Sequence[Tensor], steps: int) -> Iterator[list[Tensor]]:
    """Yield gradients, some again and again, with special values in those with rows."""
    drawn: list[list[Tensor]] = []
    for step in range(steps):
        if step < _DRAWN:
            (grads,) = gradients(params, 1, seed=step)
            drawn.append([_planted(grad, step) for grad in grads if grad is not None])
        yield [grad.clone() for grad in drawn[step % _DRAWN]]


def _planted(grad: Tensor, step: int) -> Tensor:
    if grad.dim() > 1:
        for i, value in enumerate(SPECIAL):
            grad.view(-1)[11 * i + step :: 1_013] = value
    return grad


def constructed(
    member: Member, params: list[Tensor], **options: Any
) -> FamilyOptimizer:
    """Return an optimizer, or skip the test where its flags exclude one another."""
    try:
        return member(params, **options)
    except ValueError as error:
        if "leave one of them out" not in str(error):
            raise
        pytest.skip(str(error))


def step(optimizer: FamilyOptimizer, params: Sequence[Tensor], grads: Grads) -> None:
    """Take a step with copies of gradients, wherever the parameters are."""
    there = [
        None if g is None else g.to(p.device)
        for p, g in zip(params, grads, strict=True)
    ]
    give(params, there)
    optimizer.step()


def compare(
    rule: str,
    form: str,
    device: torch.device,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    steps: int = 3,
) -> Difference:
    """Return how steps on a device differ from those of the loop on the CPU."""
    (member, options), (dtype, flags) = RULES[rule], FORMATS[form]
    here = parameters(dtype, shapes)
    there = placed(here, device)
    plain = member(here, **options, **flags, **LOOP)
    other = member(there, **options, **flags, **asked(device))
    for grads in draws(here, steps):
        step(plain, here, grads)
        step(other, there, grads)
    return difference(bits_of(plain), bits_of(other))


def difference(expected: Any, found: Any) -> Difference:
    """Return how values, tensors and lists of them differ."""
    if isinstance(expected, list | tuple):
        parts = [difference(*pair) for pair in zip(expected, found, strict=True)]
        return Difference(sum(p.elements for p in parts), sum(p.of for p in parts))
    if not isinstance(expected, Tensor):
        return Difference(int(expected != found), 1)
    a, b = (x.detach().cpu().contiguous() for x in (expected, found))
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    other = a.view(bits[a.element_size()]) != b.view(bits[b.element_size()])
    other &= ~(a.isnan() & b.isnan())
    return Difference(int(other.sum()), other.numel())


def agrees(expected: Any, found: Any) -> bool:
    """Whether nothing differs."""
    return difference(expected, found).elements == 0
