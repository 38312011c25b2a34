"""Low moments have the same bits on all paths, threads and instruction sets."""

from __future__ import annotations

import pytest
import torch
from tests.torch.state.moments import (
    LOW_FORMATS,
    assert_same,
    copies,
    give_gradients,
    parameters,
)

from mementum.torch import MEMBERS, AMSGrad
from mementum.torch.backends import native

PATHS = {"fused": True}, {"foreach": True}, {"foreach": False}

pytestmark = pytest.mark.skipif(
    native.library() is None, reason="the kernel is not built"
)


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize(
    ("dtype", "state_dtype", "rounding"),
    [
        (torch.float32, "bfloat16", False),
        (torch.float32, "float8", False),
        (torch.bfloat16, "float8", True),
        (torch.float16, "bfloat16", True),
        (torch.bfloat16, None, True),
        (torch.float16, "float64", True),
    ],
)
def test_all_paths_store_the_same_bits(member, dtype, state_dtype, rounding):
    first = parameters(dtype)
    lists = [first, copies(first), copies(first)]
    optimizers = [
        member(
            params,
            **path,
            state_dtype=state_dtype,
            stochastic_rounding=rounding,
            seed=3,
        )
        for params, path in zip(lists, PATHS, strict=True)
    ]
    for step in range(5):
        give_gradients(step, *lists)
        for optimizer in optimizers:
            optimizer.step()
    for optimizer, params in zip(optimizers[1:], lists[1:], strict=True):
        assert_same(optimizers[0], optimizer, first, params)


@pytest.mark.parametrize("state_dtype", LOW_FORMATS)
@pytest.mark.parametrize("shape", [(1030, 2041), (2, 2**20 + 3)])
def test_threads_and_instruction_sets_store_the_same_bits(
    monkeypatch, shape, state_dtype
):
    param = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    grad = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    results = []
    available, before = native.isa(), torch.get_num_threads()
    cases = [(available, threads) for threads in (1, 2, 3, 7, 16)]
    cases += [(isa, 2) for isa in range(available)]
    for isa, threads in cases:
        monkeypatch.setattr(native, "isa", lambda isa=isa: isa)
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        p = torch.nn.Parameter(param.clone())
        optimizer = AMSGrad([p], state_dtype=state_dtype)
        for _ in range(2):
            p.grad = grad
            optimizer.step()
        results.append((optimizer, p))
    monkeypatch.undo()
    assert torch.get_num_threads() == before
    for optimizer, p in results[1:]:
        assert_same(results[0][0], optimizer, [results[0][1]], [p])
