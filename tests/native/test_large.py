"""More elements than 32 bits count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.native import kernel
from torch import Tensor

from mementum.torch import AdaX

pytestmark = [kernel.needed, pytest.mark.slow]

ELEMENTS = 2**31 + 17
EDGE = 1_000


def test_a_parameter_past_two_to_the_31_is_updated_at_both_ends() -> None:
    """Its parts are those of small parameters; needs 13 GiB of memory.

    The gradient is one element, expanded, so that the memory is the parameter's and
    its moments'.
    """
    columns = ELEMENTS // 5
    assert columns * 5 == ELEMENTS
    values = torch.linspace(0.5, 1.5, EDGE).to(torch.bfloat16)
    # The last one lies on both sides of 2**31, where a 32-bit index would wrap.
    places = [0, 2**30, ELEMENTS - EDGE]
    data = torch.ones(ELEMENTS, dtype=torch.bfloat16)
    for place in places:
        data[place : place + EDGE] = values
    param = data.view(5, columns).requires_grad_()
    optimizer = AdaX([param], lr=0.1, state_dtype="float8")
    param.grad = torch.ones((1, 1), dtype=torch.bfloat16).expand(5, columns)
    optimizer.step()
    expected = _small(values)
    flat = param.detach().view(-1)
    for place in places:
        assert torch.equal(flat[place : place + EDGE], expected), place
    # Every other element was 1, and is what 1 becomes.
    one = _small(torch.ones(1, dtype=torch.bfloat16))
    changed = sum(int((part == one).sum()) for part in flat.split(2**26))
    inside = sum(int((expected == one).sum()) for _ in places)
    assert changed == ELEMENTS - len(places) * EDGE + inside
    state = optimizer.state[param]
    for name in ("momentum", "square"):
        codes = state[name].view(-1)
        ends = [codes[:EDGE], codes[2**31 - 1 : 2**31 + 1], codes[-EDGE:]]
        assert all((end != 0).all() for end in ends)


def _small(values: Tensor) -> Tensor:
    param = values.clone().requires_grad_()
    optimizer = AdaX([param], lr=0.1)
    param.grad = torch.ones_like(param)
    optimizer.step()
    assert np.isfinite(param.detach().float().numpy()).all()
    return param.detach()
