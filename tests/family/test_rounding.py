"""The definition of rounding: torch's path and the compiled kernel give its bits."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.native import kernel
from torch import Tensor

from mementum.family import noise, rounding
from mementum.family.rounding import INFINITE, Bits
from mementum.torch.backends import loop, native
from mementum.torch.state import rounding as rendering

Rounded = tuple[NDArray[np.generic], ...]

NAN, SIGN = 0x7FC00000, 0x80000000
# Zero, the ends of the denormal numbers, of float16's range and steps, of what noise
# is added to, and of float32; with the neighbours and the other sign of each.
_MARKS = (
    *(0, 1, 0x7FFFFF, 0x800000, 0x33000000, 0x33800000, 0x38800000),
    *(0x3F800000, 0x3F808000, 0x477FE000, 0x477FF000, 0x47800000),
    *(rounding.LARGEST_SHORT, rounding.LARGEST_BFLOAT16, INFINITE),
)
EDGES = sorted(
    {
        (mark + step) | sign
        for mark in _MARKS
        for step in (-1, 0, 1)
        for sign in (0, SIGN)
        if 0 <= mark + step <= INFINITE
    }
    | {NAN, NAN | SIGN, 0x7FFFFFFF, 0xFFFFFFFF}
)
EDGE_WORDS = (
    0,
    1,
    0xFFF,
    0x1000,
    0x7FFF,
    0x8000,
    0xFFFF,
    0xFFFFF,
    0x100000,
    0xFFFFFFFF,
)


def _quiet(bits: Bits) -> Bits:
    """Return bits whose NaNs are quiet, as arithmetic makes them."""
    size = bits & rounding.MAGNITUDE
    return np.where(size > INFINITE, bits | NAN, bits).astype(np.uint32)


def _of_a_block(mark: int) -> st.SearchStrategy[int]:
    """Return patterns within some 40 octaves of a number: those that share a block."""
    low, high = max(mark - (40 << 23), 0), min(mark + (2 << 23), INFINITE)
    return st.one_of(st.integers(low, high), st.integers(low | SIGN, high | SIGN))


@st.composite
def tables(draw: st.DrawFn) -> tuple[Bits, Bits]:
    """Return rows of patterns, of blocks that are whole, short or both, and words."""
    shape = draw(st.sampled_from([(1, 1), (3, 5), (2, 256), (2, 300), (1, 513)]))
    mark = draw(st.integers(0, INFINITE))
    anything = st.one_of(st.sampled_from(EDGES), st.integers(0, 0xFFFFFFFF))
    elements = draw(st.sampled_from([_of_a_block(mark), anything]))
    bits = arrays.arrays(np.uint32, shape, elements=elements)
    of_words = st.one_of(st.sampled_from(EDGE_WORDS), st.integers(0, 0xFFFFFFFF))
    words = arrays.arrays(np.uint32, shape, elements=of_words)
    return _quiet(draw(bits)), draw(words)


def every_edge() -> tuple[Bits, Bits]:
    """Return each edge in a row of its own, and the words of the edges below it."""
    bits = np.repeat(np.array(EDGES, np.uint32)[:, None], len(EDGE_WORDS), axis=1)
    return bits, np.tile(np.array(EDGE_WORDS, np.uint32), (len(EDGES), 1))


def numbers(bits: Bits) -> Tensor:
    """Return the float32 numbers of patterns."""
    return torch.from_numpy(bits.view(np.float32).copy())


def in_torch(words: Bits) -> Tensor:
    """Return words as torch has them."""
    return torch.from_numpy(words.view(np.int32).copy())


def patterns(x: Tensor) -> NDArray[np.generic]:
    """Return the bits of a tensor."""
    size = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[x.element_size()]
    kind = {1: np.uint8, 2: np.uint16, 4: np.uint32}[x.element_size()]
    return x.view(size).numpy().view(kind)


def nearest(dtype: torch.dtype) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, words: x.to(dtype)


def parameter(dtype: torch.dtype) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, words: rendering.parameter(x, words, dtype)


# The definition, torch's path, and the pattern of the format's infinity.
SHORT = {
    "bfloat16": (rounding.bfloat16, parameter(torch.bfloat16), 0x7F80),
    "bfloat16 nearest": (
        lambda bits, words: rounding.bfloat16(bits, None),
        nearest(torch.bfloat16),
        0x7F80,
    ),
    "bfloat16 momentum": (
        rounding.bfloat16_momentum,
        rendering.bfloat16_momentum,
        0x7F80,
    ),
    "bfloat16 square": (rounding.bfloat16_square, rendering.bfloat16_square, 0x7F80),
    "float16": (rounding.float16, parameter(torch.float16), 0x7C00),
    "float16 nearest": (
        lambda bits, words: rounding.float16(bits, None),
        nearest(torch.float16),
        0x7C00,
    ),
}
FLOAT8 = {
    "square": (rounding.encoded_square, rendering.encoded_square),
    "peak": (
        lambda bits, words: rounding.encoded_square(bits, None),
        lambda x, words: rendering.encoded_square(x, None),
    ),
    "momentum": (rounding.encoded_momentum, rendering.encoded_momentum),
}


def assert_same_numbers(one: Rounded, other: Rounded, infinite: int) -> None:
    """Compare bits; of NaNs only that both are one."""
    nans = [(each & 0x7FFF) > infinite for each in (one, other)]
    np.testing.assert_array_equal(*nans)
    np.testing.assert_array_equal(one[~nans[0]], other[~nans[1]])


def check_short(name: str, bits: Bits, words: Bits) -> None:
    definition, torchs, infinite = SHORT[name]
    rounded = patterns(torchs(numbers(bits), in_torch(words)))
    assert_same_numbers(definition(bits, words), rounded, infinite)


def check_float8(name: str, bits: Bits, words: Bits) -> None:
    definition, torchs = FLOAT8[name]
    expected, stored = definition(bits, words), torchs(numbers(bits), in_torch(words))
    np.testing.assert_array_equal(expected.codes, stored.codes.numpy())
    np.testing.assert_array_equal(expected.exponents, stored.scale.numpy())
    decoded = "decoded_momentum" if name == "momentum" else "decoded_square"
    np.testing.assert_array_equal(
        getattr(rounding, decoded)(expected),
        patterns(getattr(rendering, decoded)(stored)),
    )


@pytest.mark.parametrize("name", SHORT)
@settings(deadline=None)
@given(table=tables())
def test_torch_rounds_to_short_numbers_as_defined(name, table):
    check_short(name, *table)


@pytest.mark.parametrize("name", FLOAT8)
@settings(deadline=None)
@given(table=tables())
def test_torch_encodes_float8_as_defined(name, table):
    check_float8(name, *table)


@pytest.mark.parametrize("name", SHORT)
def test_torch_rounds_every_edge_to_short_numbers_as_defined(name):
    check_short(name, *every_edge())


@pytest.mark.parametrize("name", FLOAT8)
def test_torch_encodes_every_edge_in_float8_as_defined(name):
    bits, words = every_edge()
    check_float8(name, bits, words)
    check_float8(name, bits.T.copy(), words.T.copy())
    check_float8(name, bits.reshape(-1, 1), words.reshape(-1, 1))


def test_torch_decodes_every_code_under_every_exponent_as_defined():
    codes = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    exponents = np.arange(256, dtype=np.uint8)[:, None]
    expected = rounding.Float8(codes, exponents)
    stored = rendering.Float8(torch.from_numpy(codes), torch.from_numpy(exponents))
    for name in ("decoded_square", "decoded_momentum"):
        decoded = patterns(getattr(rendering, name)(stored))
        np.testing.assert_array_equal(getattr(rounding, name)(expected), decoded)


# --- The compiled kernel --------------------------------------------------------------

# A step that takes the gradient as the momentum and its square as the square, and
# leaves the parameter where it is.
TAKES_ALL = kernel.EVERY_TERM._replace(
    scale=1.0,
    pull=0.0,
    take_m=1.0,
    square_g=1.0,
    square_m=0.0,
    take_v=1.0,
    eps_in=0.0,
    eps_root=0.0,
    eps_out=1.0,
    shrink=0.0,
    step_g=0.0,
    step_m=0.0,
)
SHAPE = (40, 300)
KEPT_IN = {"bfloat16": torch.bfloat16, "float8": torch.uint8}


def spread(seed: int) -> Tensor:
    """Return numbers of all sizes and signs, with edges among them."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, SHAPE, dtype=np.uint32)
    near = rng.integers(100 << 23, 130 << 23, SHAPE, dtype=np.uint32)
    near |= rng.integers(0, 2, SHAPE, dtype=np.uint32) << 31
    bits = np.where(rng.random(SHAPE) < 0.7, near, bits)
    bits[: len(EDGES) // 4, ::3] = rng.choice(np.array(EDGES, np.uint32), (1, 100))
    return numbers(_quiet(bits))


def stepped(form: str, grad: Tensor, isa: int, monkeypatch) -> kernel.Bucket:
    """Return a bucket after a step by the kernel, from zero moments and a peak."""
    monkeypatch.setattr(native, "isa", lambda: isa)
    moments = [torch.zeros(SHAPE, dtype=KEPT_IN[form]) for _ in range(3)]
    bucket = kernel.bucket([(torch.zeros(SHAPE), grad, *moments)])
    bucket.seed, bucket.places = 3, ["weight"]
    if form == "float8":
        for moment in ("momentum", "square", "peak"):
            bucket.scales[moment] = [torch.zeros(SHAPE[0], 2, dtype=torch.uint8)]
    kernel.update(TAKES_ALL, bucket)
    return bucket


def words_of(purpose: str) -> Bits:
    count = SHAPE[0] * SHAPE[1]
    return noise.words(noise.key(3, "weight", 1, purpose), 0, count).reshape(SHAPE)


@kernel.needed
@pytest.mark.parametrize("isa", range(native.isa() + 1))
@pytest.mark.parametrize("seed", range(3))
def test_the_kernel_stores_bfloat16_moments_as_defined(seed, isa, monkeypatch):
    grad, words = spread(seed), words_of("state")
    bucket = stepped("bfloat16", grad, isa, monkeypatch)
    square, momentum = patterns(grad * grad), patterns(grad + 0.0)
    for stored, expected in (
        (bucket.momentum, rounding.bfloat16_momentum(momentum, words)),
        (bucket.square, rounding.bfloat16_square(square, words)),
        (bucket.peak, rounding.bfloat16(square, None)),
    ):
        assert_same_numbers(expected, patterns(stored[0]), 0x7F80)


@kernel.needed
@pytest.mark.parametrize("isa", range(native.isa() + 1))
@pytest.mark.parametrize("seed", range(3))
def test_the_kernel_stores_float8_moments_as_defined(seed, isa, monkeypatch):
    grad, words = spread(seed), words_of("state")
    bucket = stepped("float8", grad, isa, monkeypatch)
    square, momentum = patterns(grad * grad), patterns(grad + 0.0)
    for moment, expected in (
        ("momentum", rounding.encoded_momentum(momentum, words)),
        ("square", rounding.encoded_square(square, words)),
        ("peak", rounding.encoded_square(square, None)),
    ):
        codes, exponents = getattr(bucket, moment)[0], bucket.scales[moment][0]
        np.testing.assert_array_equal(expected.codes, codes.numpy())
        np.testing.assert_array_equal(expected.exponents, exponents.numpy())


@kernel.needed
@pytest.mark.parametrize("isa", range(native.isa() + 1))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_kernel_rounds_parameters_as_defined(dtype, isa, monkeypatch):
    monkeypatch.setattr(native, "isa", lambda: isa)
    definition = rounding.float16 if dtype == torch.float16 else rounding.bfloat16
    # A parameter that takes a step of its gradient lies between the format's numbers.
    takes_a_step = TAKES_ALL._replace(step_m=1.0, take_v=0.0)
    param, grad = spread(5).to(dtype), spread(6) * 1e-3
    rows = [(param, grad, torch.zeros(SHAPE), torch.zeros(SHAPE))]
    exact = kernel.bucket([(param.float(), *kernel.copies(rows)[0][1:])])
    kernel.update(takes_a_step, exact, by=loop)
    bucket = kernel.bucket(rows)
    bucket.seed, bucket.places, bucket.rounds_params = 3, ["weight"], True
    kernel.update(takes_a_step, bucket)
    expected = definition(patterns(exact.params[0]), words_of("parameter"))
    infinite = 0x7C00 if dtype == torch.float16 else 0x7F80
    assert_same_numbers(expected, patterns(param), infinite)
