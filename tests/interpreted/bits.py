"""What a step leaves behind, compared bit for bit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def standing(params: list[Parameter], optimizer: Any) -> list[dict[str, Any]]:
    """Return copies of parameters and of all that is kept for each."""
    return [
        {
            name: value.detach().clone() if isinstance(value, Tensor) else value
            for name, value in {"param": param, **optimizer.state[param]}.items()
        }
        for param in params
    ]


def assert_same_standings(
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> None:
    """Refuse standings that differ in a bit."""
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if isinstance(value, Tensor):
                assert_same_bits(value, other[name])
            else:
                assert value == other[name]


def assert_same_bits(a: Tensor, b: Tensor) -> None:
    """Refuse tensors that differ in a bit; any NaN is any other."""
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)
    word = _WORDS[a.element_size()]
    differ = a.contiguous().view(word) != b.contiguous().view(word)
    if a.is_floating_point():
        differ &= ~(a.isnan() & b.isnan())
    assert not differ.any(), (a.dtype, a[differ][:5], b[differ][:5])
