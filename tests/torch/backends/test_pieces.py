"""A bucket of what is rounded is stepped whole: in few operations, and the same bits."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from tests.native import kernel
from tests.torch.state.moments import (
    assert_same,
    copies,
    give_gradients,
    parameters,
)
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mementum.family.rule import Coefficients
from mementum.torch import AdaMomentum, AdamW, AMSGrad
from mementum.torch.backends import foreach, loop, pieces
from mementum.torch.backends.bucket import Bucket
from mementum.torch.state.rounding import Numbering

ROUNDED = pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (torch.float32, {"state_dtype": "bfloat16"}),
        (torch.float32, {"state_dtype": "float8"}),
        (torch.bfloat16, {"stochastic_rounding": True}),
    ],
    ids=["bfloat16", "float8", "parameters"],
)


class Operations(TorchDispatchMode):
    """Count the operations on elements: no views, and no promotion of dtypes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if not func.is_view and func is not torch.ops.aten.promote_types.default:
            self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


def operations(shapes: list[tuple[int, ...]], dtype: torch.dtype, options) -> int:
    params = [torch.nn.Parameter(torch.ones(shape, dtype=dtype)) for shape in shapes]
    optimizer = AdamW(params, foreach=True, **options)
    for param in params:
        param.grad = torch.ones_like(param)
    for _ in range(2):
        optimizer.step()
    with Operations() as mode:
        optimizer.step()
    return mode.seen.total()


@ROUNDED
def test_more_parameters_take_no_more_operations(dtype, options, monkeypatch):
    # All fit one piece, as on an accelerator.
    monkeypatch.setattr(pieces, "_most", lambda device: (1 << 22, 1 << 22))
    shapes = [(64, 64), (33, 517), (70, 100)]
    few = operations(shapes, dtype, options)
    assert operations(shapes * 10, dtype, options) == few < 250


def test_operations_are_few_where_pieces_fit_a_cache():
    shapes = [(20,), (300,), (7, 9)]
    few = operations(shapes, torch.float32, {"state_dtype": "bfloat16"})
    many = operations(shapes * 10, torch.float32, {"state_dtype": "bfloat16"})
    assert many == few


@pytest.mark.parametrize("most", [256, 1024, 1 << 22])
@pytest.mark.parametrize("member", [AMSGrad, AdaMomentum])
@ROUNDED
def test_pieces_of_any_size_store_the_same_bits(
    dtype, options, member, most, monkeypatch
):
    monkeypatch.setattr(pieces, "_most", lambda device: (most, most))
    first = parameters(dtype)
    lists = [first, copies(first)]
    optimizers = [
        member(params, foreach=path, seed=3, **options)
        for path, params in zip((True, False), lists, strict=True)
    ]
    for step in range(5):
        give_gradients(step, *lists)
        for optimizer in optimizers:
            optimizer.step()
    assert_same(*optimizers, *lists)


SPECIAL = (0.0, -0.0, float("inf"), -float("inf"), float("nan"), 3e38, -3e38, 1e-42)


@pytest.mark.parametrize("most", [256, 1 << 22])
@ROUNDED
def test_pieces_store_the_bits_of_special_gradients(dtype, options, most, monkeypatch):
    monkeypatch.setattr(pieces, "_most", lambda device: (most, most))
    first = parameters(dtype)
    lists = [first, copies(first)]
    optimizers = [
        AMSGrad(params, foreach=path, **options)
        for path, params in zip((True, False), lists, strict=True)
    ]
    special = torch.tensor(SPECIAL)
    for step in range(3):
        give_gradients(step, *lists)
        for row in zip(*lists, strict=True):
            generator = torch.Generator().manual_seed(step)
            drawn = torch.randint(0, 3000, row[0].shape, generator=generator)
            for param in row:
                own = special[drawn % len(special)].to(dtype)
                param.grad = torch.where(drawn < len(special), own, param.grad)
        for optimizer in optimizers:
            optimizer.step()
    for p, q in zip(*lists, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0, equal_nan=True)
        for name, kept in optimizers[0].state[p].items():
            other = optimizers[1].state[q][name]
            torch.testing.assert_close(kept, other, rtol=0, atol=0, equal_nan=True)


# --- Parts of whole parameters --------------------------------------------------------

# Numbers on from any place and across 2**32; and of every other row's columns.
NUMBERED = (
    ((40, 300), Numbering(0, (300, 1))),
    ((40, 300), Numbering(2**32 - 5000, (300, 1))),
    ((40, 300), Numbering(2**40 - 1, (300, 1))),
    ((40, 256), Numbering(2**32 - 40 * 512, (1024, 1))),
    ((5, 7, 9), Numbering(2**33 - 100, (1000, 9, 1))),
    ((5, 7, 9), Numbering(3, (1000, 30, 2))),
    ((600, 1), Numbering(2**32 - 300, (7, 1))),
)


def numbered(form: str) -> tuple[Bucket, Bucket]:
    """Return two buckets of parts of parameters, with peaks."""
    blocked = form == "float8"
    kinds = [each for each in NUMBERED if not blocked or len(each[0]) == 2]
    moments = torch.uint8 if blocked else torch.bfloat16
    twins = []
    for _ in range(2):
        rows = [
            kernel.rows(shape, peak=True, moments=moments, seed=i)[0]
            for i, (shape, _) in enumerate(kinds)
        ]
        bucket = kernel.bucket(rows, step=7)
        if blocked:
            for name in ("momentum", "square", "peak"):
                bucket.scales[name] = [
                    torch.full((shape[0], -(-shape[1] // 256)), 127, dtype=torch.uint8)
                    for shape, _ in kinds
                ]
        bucket.places = [f"{i}" for i in range(len(rows))]
        bucket.numberings = [numbering for _, numbering in kinds]
        twins.append(bucket)
    return twins[0], twins[1]


@pytest.mark.parametrize("most", [256, 3 * 256, 1 << 22])
@pytest.mark.parametrize("form", ["bfloat16", "float8"])
@pytest.mark.parametrize("captured", [False, True], ids=["plain", "captured"])
def test_parts_of_parameters_are_numbered_as_in_the_whole(
    form, captured, most, monkeypatch
):
    monkeypatch.setattr(pieces, "_most", lambda device: (most, most))
    one, other = numbered(form)
    numbers = kernel.EVERY_TERM
    if captured:
        # Of one step for each parameter, but for a rate that all share.
        each = torch.linspace(0.5, 1, len(one.params), dtype=torch.float64)
        numbers = Coefficients(*(number * each for number in numbers))
        numbers = numbers._replace(step_m=torch.tensor(0.02))
    kernel.update(numbers, one, by=loop)
    kernel.update(numbers, other, by=foreach)
    for a, b in zip(one.all_rows(), other.all_rows(), strict=True):
        assert all(map(same, a, b))


def same(a: Tensor, b: Tensor) -> bool:
    kind = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[a.element_size()]
    return torch.equal(a.view(kind), b.view(kind))
