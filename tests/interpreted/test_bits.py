"""Steps by Triton's kernels have the bits of the other paths, NaN payloads apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.interpreted import bits
from tests.native import kernel
from torch import Tensor

from mementum.family.rule import Coefficients
from mementum.torch.backends import loop, native, triton
from mementum.torch.backends.bucket import Bucket
from mementum.torch.state import rounding
from mementum.torch.state.formats import FLOAT8
from mementum.torch.state.rounding import Numbering

OTHERS = [native] if native.library() else [loop]
# Whole blocks and parts of them, flat and in rows that are no multiple of 256.
SHAPES = ((1,), (1024,), (1061,), (2, 300), (8, 256))
PARAMS = torch.float32, torch.float64, torch.bfloat16, torch.float16
HALVES = torch.bfloat16, torch.float16
SPECIAL = (float("inf"), -float("inf"), float("nan"), 0.0, -0.0, 1e-41, 3e38, -1e-20)


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return numbers of many sizes in float64, the special ones among them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-12, 5, shape)
    flat = values.reshape(-1)
    if len(flat) > 50:
        flat[3 : 3 + len(SPECIAL)] = SPECIAL
        flat[-40:] = 0
    return torch.from_numpy(values)


def placed(values: Tensor, offset: int) -> Tensor:
    """Return a copy that begins so many elements after an aligned place."""
    memory = torch.zeros(values.numel() + 64, dtype=values.dtype)
    return memory[offset : offset + values.numel()].view(values.shape).copy_(values)


def a_bucket(
    shapes: list[tuple[int, ...]],
    param: torch.dtype = torch.float32,
    state: str = "computed",
    *,
    grad: torch.dtype | None = None,
    rounds: bool = False,
    peak: bool = False,
    offsets: tuple[int, ...] = (0, 0, 0, 0, 0),
    first: int = 0,
) -> Bucket:
    """Return a bucket that has the same numbers at every call."""
    wide = torch.float64 if param == torch.float64 else torch.float32
    kept = {"bfloat16": torch.bfloat16, "float64": torch.float64}.get(state, wide)
    dtypes = (param, grad or param, kept, kept, kept)
    rows = []
    scales: dict[str, list[Tensor]] = {}
    for i, shape in enumerate(shapes):
        values = [drawn(shape, 10 * i + at) for at in range(5)]
        row = [x.to(dtype) for x, dtype in zip(values, dtypes, strict=True)]
        row[2], row[3:] = row[2] / 7, [x.abs() for x in row[3:]]
        if state == "float8":
            drawn_words = np.random.default_rng(i).integers(0, 2**32, shape, np.uint32)
            words = torch.from_numpy(drawn_words.view(np.int32))
            for at, name in ((2, "momentum"), (3, "square"), (4, "peak")):
                code, scale = FLOAT8.encode(name, row[at], words)
                row[at] = code
                if name != "peak" or peak:
                    scales.setdefault(name, []).append(scale)
        rows.append([placed(*each) for each in zip(row, offsets, strict=True)])
    made = kernel.bucket([tuple(row[: 4 + peak]) for row in rows], step=7)
    made.scales, made.rounds_params, made.seed = scales, rounds, 3
    made.places = [f"layer {i}" for i in range(len(shapes))]
    made.numberings = [
        Numbering(first, rounding.whole(torch.Size(shape)).strides) for shape in shapes
    ]
    return made


def assert_same_bits(one: Bucket, other: Bucket) -> None:
    """Refuse buckets that differ in a bit of what they store."""
    for row, expected in zip(one.all_rows(), other.all_rows(), strict=True):
        for a, b in zip(row, expected, strict=True):
            bits.assert_same_bits(a, b)


def assert_alike(c: Coefficients, **facts: object) -> None:
    ours = a_bucket(**facts)  # type: ignore[arg-type]
    with np.errstate(all="ignore"):
        kernel.update(c, ours, by=triton)
        for other in OTHERS:
            theirs = a_bucket(**facts)  # type: ignore[arg-type]
            kernel.update(c, theirs, by=other)
            assert_same_bits(ours, theirs)


STORAGES = [
    pytest.param(
        param, state, rounds, id=f"{str(param)[6:]}-{state}" + "-noise" * rounds
    )
    for param in PARAMS
    for state in ("computed", "float64", "bfloat16", "float8")
    if param != torch.float64 or state == "computed"
    for rounds in ((False, True) if param in HALVES else (False,))
]


@pytest.mark.parametrize(("param", "state", "rounds"), STORAGES)
@pytest.mark.parametrize("peak", [False, True], ids=["plain", "peak"])
def test_every_storage_is_stepped_as_by_the_other_paths(param, state, rounds, peak):
    shapes = [shape for shape in SHAPES if state != "float8" or len(shape) > 1]
    wide = state == "float64" or param == torch.float64
    c = kernel.EVERY_TERM if wide else as_float32(kernel.EVERY_TERM)
    assert_alike(c, shapes=shapes, param=param, state=state, rounds=rounds, peak=peak)


def as_float32(c: Coefficients) -> Coefficients:
    return Coefficients(*np.array(c, dtype=np.float32).tolist())


TERMS = {
    "pull": (0.0, 0.01),
    "square_g": (0.0, 1.0, -0.5),
    "square_m": (0.0, 1.0),
    "shrink": (0.0, 1e-3),
    "step_g": (0.0, 0.01),
    "step_m": (0.0, 0.02),
}


@pytest.mark.parametrize("values", list(itertools.product(*TERMS.values())), ids=str)
def test_every_combination_of_terms_is_stepped_as_by_the_other_paths(values):
    c = kernel.EVERY_TERM._replace(**dict(zip(TERMS, values, strict=True)))
    assert_alike(as_float32(c), shapes=[(60,)])


@pytest.mark.parametrize("grad", PARAMS)
def test_a_gradient_may_have_another_dtype(grad):
    c = as_float32(kernel.ADAMW)
    assert_alike(c, shapes=[(1061,)], grad=grad)


CARRIES = (0, 7, 1024, 2**32 - 500, 2**32 + 1024, 3 * 2**40 - 1)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    sizes=st.lists(
        st.one_of(st.integers(1, 40), st.integers(1000, 1100)), min_size=1, max_size=3
    ),
    offsets=st.tuples(*[st.integers(0, 15)] * 5),
    first=st.sampled_from(CARRIES),
    storage=st.sampled_from(
        [
            (torch.float32, "computed", False),
            (torch.bfloat16, "bfloat16", True),
            (torch.float16, "computed", True),
            (torch.float32, "bfloat16", False),
        ]
    ),
    peak=st.booleans(),
)
def test_sizes_places_and_numbers_change_no_bit(sizes, offsets, first, storage, peak):
    param, state, rounds = storage
    assert_alike(
        as_float32(kernel.ADAMW),
        shapes=[(size,) for size in sizes],
        param=param,
        state=state,
        rounds=rounds,
        peak=peak,
        offsets=offsets,
        first=first,
    )


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 3), st.sampled_from([1, 255, 256, 257, 512])),
    offsets=st.tuples(*[st.integers(0, 15)] * 5),
    first=st.sampled_from(CARRIES),
    peak=st.booleans(),
)
def test_rows_and_places_of_codes_change_no_bit(shape, offsets, first, peak):
    assert_alike(
        as_float32(kernel.ADAMW),
        shapes=[shape],
        state="float8",
        peak=peak,
        offsets=offsets,
        first=first,
    )


@pytest.mark.parametrize("state", ["bfloat16", "float8"])
def test_a_shard_of_columns_is_numbered_as_in_the_whole(state):
    c = as_float32(kernel.ADAMW)
    whole = 4096
    ours, theirs = (a_bucket([(3, 512)], state=state) for _ in range(2))
    for made, by in ((ours, triton), (theirs, OTHERS[0])):
        made.numberings = [Numbering(2**32 - whole, (whole, 1))]
        kernel.update(c, made, by=by)
    assert_same_bits(ours, theirs)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_any_order_of_dimensions_is_numbered_row_by_row(rank):
    c = as_float32(kernel.ADAMW)
    shape = (2, 3, 4, 5, 6)[:rank]
    order = (1, 3, 0, 2, 4)[:rank] if rank > 3 else (2, 0, 1)
    made = []
    for by in (triton, OTHERS[0]):
        one = a_bucket([shape], torch.bfloat16, "bfloat16", rounds=True, peak=True)
        for row in one.rows():
            row[0] = _permuted(row[0], order)
        kernel.update(c, one, by=by)
        made.append(one)
    assert_same_bits(*made)


def _permuted(tensor: Tensor, order: tuple[int, ...]) -> Tensor:
    """Return a copy with the same indices, whose dimensions lie in another order."""
    back = sorted(range(len(order)), key=order.__getitem__)
    return tensor.permute(order).contiguous().permute(back)


@pytest.mark.parametrize("state", ["computed", "bfloat16", "float8"])
def test_what_lies_otherwise_than_its_parameter_is_stepped_in_place(state):
    c = as_float32(kernel.ADAMW)
    made = []
    for by in (triton, OTHERS[0]):
        one = a_bucket([(12, 40), (30, 30)], state=state, peak=True)
        one.grads[0] = one.grads[0].t().contiguous().t()
        if state == "float8":
            one.params[1] = one.params[1].t().contiguous().t()
        else:
            one.momentum[1] = one.momentum[1].t().contiguous().t()
        own = [list(row) for row in one.all_rows()]
        kernel.update(c, one, by=by)
        # A step may work on copies, but what it was given is what it changes.
        one.params, one.grads, one.momentum, one.square, one.peak = own[:5]
        made.append(one)
    assert_same_bits(*made)
