"""Numbers rounded with noise: what is stored, how far off, and without bias."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mementum.family.noise import key
from mementum.torch.state import rounding
from mementum.torch.state.rounding import Float8

CPU = torch.device("cpu")
DRAWS = 10**6


def floats(patterns) -> Tensor:
    return torch.as_tensor(patterns).to(torch.int32).view(torch.float32)


def words(shape, step: int = 1) -> Tensor:
    return rounding.words(key(0, "a test", step), torch.Size(shape), CPU)


def every_code(octaves: int, signs: int) -> Float8:
    """Return, in a row for each exponent, all codes that a block can then hold."""
    exponents = torch.arange(255)[:, None]
    base = ((exponents - octaves) * 8).clamp(min=7)
    sizes = torch.arange(256 // signs)[None, :]
    top = exponents * 8 + 7 - base
    # The largest code lies in the octave that the exponent names.
    sizes = torch.where(sizes <= top, sizes, 0)
    sizes[:, -1] = torch.minimum(top[:, 0], torch.tensor(256 // signs - 1)).clamp(min=0)
    codes = torch.cat([sizes + 128 * sign for sign in range(signs)], dim=1)
    return Float8(codes.to(torch.uint8), exponents.to(torch.uint8))


# --- What a code stands for -----------------------------------------------------------


@pytest.mark.parametrize("step", range(4))
def test_a_float8_code_is_encoded_as_itself_whatever_the_noise(step):
    squares, momenta = every_code(31, 1), every_code(15, 2)
    encoded = rounding.encoded_square(
        rounding.decoded_square(squares), words(squares.codes.shape, step)
    )
    assert torch.equal(encoded.codes, squares.codes)
    assert torch.equal(encoded.scale, squares.scale)
    nearest = rounding.encoded_square(rounding.decoded_square(squares), None)
    assert torch.equal(nearest.codes, squares.codes)
    encoded = rounding.encoded_momentum(
        rounding.decoded_momentum(momenta), words(momenta.codes.shape, step)
    )
    assert torch.equal(encoded.codes, momenta.codes)
    assert torch.equal(encoded.scale, momenta.scale)


@pytest.mark.parametrize("step", range(4))
def test_every_bfloat16_and_float16_is_rounded_to_itself(step):
    patterns = torch.arange(-(2**15), 2**15).to(torch.int16)
    noise = words(patterns.shape, step)
    for dtype in (torch.bfloat16, torch.float16):
        every = patterns.view(dtype)
        number = ~every.isnan()
        rounded = rounding.parameter(every.to(torch.float32), noise, dtype)
        assert torch.equal(rounded[number].view(torch.int16), patterns[number])
        assert rounded[~number].isnan().all()
    every = patterns.view(torch.bfloat16)
    number = ~every.isnan()
    rounded = rounding.bfloat16_momentum(every.to(torch.float32), noise)
    assert torch.equal(rounded[number], every[number])
    rounded = rounding.bfloat16_square(every.to(torch.float32), noise)
    assert torch.equal(rounded[number], every[number])


def test_codes_stand_for_rising_numbers_and_none_is_denormal():
    for decoded, stored in (
        (rounding.decoded_square, every_code(31, 1)),
        (rounding.decoded_momentum, every_code(15, 2)),
    ):
        numbers = decoded(stored)
        assert numbers.isfinite().all()
        assert ((numbers == 0) | (numbers.abs() >= 2.0**-126)).all()
    rising = rounding.decoded_square(every_code(31, 1))[200]
    assert (rising.diff() > 0)[:-1].all()


# --- How far a stored number is off ---------------------------------------------------


def spread_out(shape, seed: int) -> Tensor:
    """Return numbers whose rows span from two octaves to all of float32."""
    generator = torch.Generator().manual_seed(seed)
    span = torch.linspace(2, 270, shape[0], dtype=torch.float64)[:, None]
    share = torch.rand(shape, generator=generator, dtype=torch.float64)
    exponents = (share - 0.55) * span
    signs = torch.randint(0, 2, shape, generator=generator) * 2 - 1
    mantissa = 1 + torch.rand(shape, generator=generator, dtype=torch.float64)
    return (signs * mantissa * 2.0**exponents).to(torch.float32)


def spacing(x: Tensor, bits: int) -> Tensor:
    """Return the distance between numbers of `bits` of mantissa around each of x."""
    _, exponent = torch.frexp(x.to(torch.float64))
    return 2.0 ** (exponent.to(torch.float64) - 1 - bits)


def floors(stored: Float8, octaves: int) -> Tensor:
    """Return the smallest number but zero that each element's block can hold."""
    base = ((stored.scale.to(torch.int64) - octaves) * 8).clamp(min=7)
    smallest = floats((base + 1) << 20).to(torch.float64)
    return smallest.repeat_interleave(256, 1)[:, : stored.codes[0].numel()]


@pytest.mark.parametrize("seed", range(3))
def test_no_float8_element_is_off_by_a_spacing(seed):
    x = spread_out((400, 700), seed)
    noise = words(x.shape, seed)
    for number, octaves, encode, decode in (
        (x.abs(), 31, rounding.encoded_square, rounding.decoded_square),
        (x, 15, rounding.encoded_momentum, rounding.decoded_momentum),
    ):
        stored = encode(number, noise)
        floor = floors(stored, octaves)
        exact, kept = number.to(torch.float64), decode(stored).to(torch.float64)
        below = exact.abs() < floor
        # Below the range, what is stored is one of the two neighbours, zero and floor.
        assert ((kept == 0) | (kept.abs() == floor))[below].all()
        assert ((kept - exact).abs() < spacing(number, 3))[~below].all()


@pytest.mark.parametrize("seed", range(3))
def test_no_bfloat16_element_is_off_by_a_spacing(seed):
    x = spread_out((400, 700), seed)
    noise = words(x.shape, seed)
    for rounded, exact in (
        (rounding.bfloat16_square(x.abs(), noise), x.abs()),
        (rounding.bfloat16_momentum(x, noise), x),
        (rounding.parameter(x, noise, torch.bfloat16), x),
    ):
        off = (rounded.to(torch.float64) - exact.to(torch.float64)).abs()
        assert (off < spacing(exact, 7).clamp(min=2.0**-133)).all()


def test_a_square_is_stored_as_zero_only_if_it_is_zero():
    x = torch.zeros(4, 300)
    x[0, 0], x[0, 1] = 3e38, 1e-45
    x[1, 0], x[1, 1] = 1e-45, 1e-30
    x[2, 5] = 1e-45
    for step in range(20):
        noise = words(x.shape, step)
        stored = rounding.encoded_square(x, noise)
        assert torch.equal(stored.codes != 0, x != 0)
        assert torch.equal(rounding.decoded_square(stored) != 0, x != 0)
        assert torch.equal(rounding.bfloat16_square(x, noise) != 0, x != 0)


def test_no_finite_number_becomes_infinite_and_what_is_not_finite_stays():
    largest = torch.finfo(torch.float32).max
    x = torch.full((2, 256), largest)
    x[1, :3] = torch.tensor([math.inf, math.nan, 1.0])
    for step in range(20):
        noise = words(x.shape, step)
        square = rounding.decoded_square(rounding.encoded_square(x, noise))
        momentum = rounding.decoded_momentum(rounding.encoded_momentum(-x, noise))
        for stored in (
            square,
            -momentum,
            rounding.bfloat16_square(x, noise),
            -rounding.bfloat16_momentum(-x, noise),
            rounding.parameter(x, noise, torch.bfloat16),
        ):
            assert stored[0].isfinite().all()
            assert stored[1, 0] == math.inf
            assert stored[1, 1].isnan()


# --- Unbiased -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [1.0 + 2.0**-12, 1.0 + 2.0**-9, 1.3, 1.999, 3e-5, 2.0**-14 * 1.1, 1e-42],
)
@pytest.mark.parametrize("kind", ["square", "momentum", "negative", "parameter"])
def test_the_mean_of_what_is_stored_is_the_number(x, kind):
    number = torch.full((DRAWS // 250, 256), x)
    number[:, 0] = 2.0 if x > 1e-30 else x * 1.5
    noise = words(number.shape)
    stored = {
        "square": [
            rounding.bfloat16_square(number, noise),
            rounding.decoded_square(rounding.encoded_square(number, noise)),
        ],
        "momentum": [
            rounding.bfloat16_momentum(number, noise),
            rounding.decoded_momentum(rounding.encoded_momentum(number, noise)),
        ],
        "negative": [
            -rounding.bfloat16_momentum(-number, noise),
            -rounding.decoded_momentum(rounding.encoded_momentum(-number, noise)),
        ],
        "parameter": [
            rounding.parameter(number, noise, torch.bfloat16),
            rounding.parameter(number, noise, torch.float16),
        ],
    }[kind]
    for rounded in stored:
        drawn = rounded[:, 1:].to(torch.float64)
        if kind == "square" and (drawn == drawn[0, 0]).all():
            # Out of the block's range a square takes the smallest code: see the floor.
            continue
        low, high = drawn.min().item(), drawn.max().item()
        # A two-point distribution's deviation is at most half the distance of its
        # points, of which 16 bits of noise resolve 2**-16, and a momentum's 2**-12.
        bits = 16 if kind in ("square", "parameter") else 12
        sigma = (high - low) / 2 / math.sqrt(drawn.numel())
        resolution = (high - low) * 2.0**-bits
        if rounded.dtype == torch.float16:
            resolution += 2.0**-40
        assert abs(drawn.mean().item() - number[0, 1].item()) <= 4 * sigma + resolution
