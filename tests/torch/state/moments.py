"""Parameters of all layouts, their gradients, and the comparison of their states."""

from __future__ import annotations

import torch

LOW_FORMATS = ("bfloat16", "float8")
# Rows shorter than a block, of whole blocks, with a rest, and below float8's sizes.
_SHAPES = (7,), (5000,), (64, 64), (33, 517), (600, 7), (4096, 1), (5, 3, 400), ()


def parameters(dtype=torch.float32, seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(shape, generator=generator) for shape in _SHAPES]
    tensors.append(torch.randn(80, 60, generator=generator).t())
    tensors.append(
        torch.randn(8, 16, 6, 7, generator=generator).to(
            memory_format=torch.channels_last
        )
    )
    tensors.append(torch.randn(70, 200, generator=generator)[:, ::2])
    return [torch.nn.Parameter(tensor.to(dtype)) for tensor in tensors]


def copies(params: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    kept = [torch.empty_strided(p.shape, p.stride(), dtype=p.dtype) for p in params]
    for copy, param in zip(kept, params, strict=True):
        copy.copy_(param.detach())
    return [torch.nn.Parameter(copy) for copy in kept]


def give_gradients(step: int, *lists: list[torch.nn.Parameter]) -> None:
    """Give parameters gradients that span ten decades, and none at all at step 3."""
    generator = torch.Generator().manual_seed(step)
    for row in zip(*lists, strict=True):
        shape, dtype = row[0].shape, row[0].dtype
        decades = torch.randint(-9, 2, shape, generator=generator)
        grad = torch.randn(shape, generator=generator) * 10.0**decades
        grad = grad * (step != 3)
        for param in row:
            param.grad = grad.to(dtype)


def assert_same(one, other, params, others) -> None:
    for p, q in zip(params, others, strict=True):
        assert torch.equal(p, q)
        assert one.state[p].keys() == other.state[q].keys()
        for name, kept in one.state[p].items():
            if name != "step":
                assert torch.equal(kept, other.state[q][name]), name
