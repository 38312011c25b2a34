"""Numbers rounded with noise: `mementum.family.rounding` in torch's operations.

Each function gives the bits of the definition of the same name, on any device, from and
to tensors of numbers; `parameter` those of `bfloat16` and `float16`, `keys` and `words`
those of `mementum.family.noise`. torch has no arithmetic on uint32 and uint64, so
patterns and words are int32 here and keys int64: sums and products wrap to the same
bits, a shift to the right is masked, and what has its highest bit set is negative.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mementum.family.noise import (
    LAST_SHIFT,
    MULTIPLIERS,
    STRIDE,
    WIDE_MIXER,
    WIDE_STRIDE,
    Key,
)
from mementum.family.rounding import (
    BLOCK,
    CUT,
    LARGEST_BFLOAT16,
    LARGEST_SHORT,
    MAGNITUDE,
    MOMENTUM_OCTAVES,
    SHORT_INFINITE,
    SHORT_NAN,
    SQUARE_OCTAVES,
)

_LOWEST = -(1 << 31)


def signed(word: int, bits: int = 32) -> int:
    """Return the signed integer that has the bits of an unsigned one."""
    return word - (1 << bits) if word >> (bits - 1) else word


class Numbering(NamedTuple):
    """Which of a whole parameter's elements a part of it holds.

    Elements are numbered in row-major order of the whole: the part's first has the
    number `first`, and a step along a dimension adds one of `strides`.
    """

    first: int
    strides: tuple[int, ...]


def whole(shape: torch.Size) -> Numbering:
    """Return the numbering of a parameter that is no part of another."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return Numbering(0, tuple(reversed(strides[: len(shape)])))


def keys(identities: Tensor, step: Tensor) -> Tensor:
    """Return `mementum.family.noise.keys` where the step is counted, in int64.

    Nothing waits for the device.
    """
    mixed_step = _mixed(step.to(torch.int64) * signed(WIDE_STRIDE, 64))
    return _mixed(identities ^ mixed_step)


def _mixed(x: Tensor) -> Tensor:
    for shift, multiplier in WIDE_MIXER:
        x = (x ^ _shifted(x, shift)) * signed(multiplier, 64)
    return x ^ _shifted(x, LAST_SHIFT)


def words(
    key: Key | Tensor,
    shape: torch.Size,
    device: torch.device,
    numbering: Numbering | None = None,
) -> Tensor:
    """Return `mementum.family.noise.words` for a part of a parameter, in int32.

    The key may be one of `keys`.
    """
    low_key: int | Tensor
    high_key: int | Tensor
    if isinstance(key, Tensor):
        low_key, high_key = _halves(key)
    else:
        low_key, high_key = map(signed, key)
    first, strides = numbering or whole(shape)
    index = torch.full((), first, dtype=torch.int64, device=device)
    for size, stride in zip(shape, strides, strict=True):
        index = index.unsqueeze(-1) + torch.arange(size, device=device) * stride
    low, high = _halves(index)
    return _spread(low ^ (high * signed(STRIDE) + low_key), high_key)


def words_of_blocks(
    keys: Tensor, numbers: Tensor, columns: Tensor, *, crosses: bool
) -> Tensor:
    """Return the words of blocks of elements that are numbered on from a first one.

    The block's key, `second` above `first`, and its first number are int64, and the
    `columns` of its elements int32, [block, element]. Only if an element's high word
    may not be its block's, the numbers cross a multiple of 2**32.
    """
    first, second = (half.unsqueeze(-1) for half in _halves(keys))
    start, high = (half.unsqueeze(-1) for half in _halves(numbers))
    low = start + columns
    if crosses:
        # Unsigned, what has wrapped is below what it was added to.
        high = high + ((low ^ _LOWEST) < (start ^ _LOWEST)).to(torch.int32)
    return _spread(low ^ (first + high * signed(STRIDE)), second)


def _halves(x: Tensor) -> tuple[Tensor, ...]:
    """Return the low and the high words of int64, which processors store in order."""
    return x.contiguous().unsqueeze(-1).view(torch.int32).unbind(-1)


def _spread(x: Tensor, second: Tensor | int) -> Tensor:
    """Spread each bit of a word over all others, with a key's second word."""
    x = (x ^ _shifted(x, 16)) * signed(MULTIPLIERS[0])
    x = (x ^ _shifted(x, 15) ^ second) * signed(MULTIPLIERS[1])
    return x ^ _shifted(x, 16)


def _shifted(x: Tensor, by: int) -> Tensor:
    """Return words shifted to the right, zeros coming in and not the sign."""
    return (x >> by) & ((1 << (8 * x.element_size() - by)) - 1)


def _pattern(x: Tensor) -> Tensor:
    """Return the bits of float32 numbers, in int32."""
    return x.contiguous().view(torch.int32)


def _number(bits: Tensor) -> Tensor:
    """Return the float32 numbers with these bits."""
    return bits.view(torch.float32)


def _shaken(bits: Tensor, random: Tensor | int, limit: int) -> Tensor:
    """Add random bits to patterns; those at `limit` or above stay as they are."""
    # A difference below zero is shifted to all ones, which is faster than a choice.
    return bits + ((((bits & MAGNITUDE) - limit) >> 31) & random)


def _for_momentum(words: Tensor) -> Tensor:
    """Return the high 12 bits of words, above 8 zeros."""
    return (words >> 12) & 0xFFF00


# --- bfloat16 and float16 -------------------------------------------------------------


def bfloat16_momentum(x: Tensor, words: Tensor) -> Tensor:
    """Round a float32 momentum with the high 12 bits of its words."""
    return _bfloat16(_pattern(x), _for_momentum(words) >> 4)


def bfloat16_square(x: Tensor, words: Tensor) -> Tensor:
    """Round a float32 square with the low 16 bits of its words; only 0 becomes 0."""
    return _bfloat16(_pattern(x), words & 0xFFFF, least=1)


def parameter(x: Tensor, words: Tensor, dtype: torch.dtype) -> Tensor:
    """Round float32 numbers to bfloat16 or float16 with the low bits of their words."""
    random = words & 0xFFFF
    if dtype == torch.float16:
        return _float16(x, random)
    return _bfloat16(_pattern(x), random)


def _bfloat16(bits: Tensor, random: Tensor, least: int = 0) -> Tensor:
    """Round to bfloat16; what is not zero becomes the `least` pattern rather than 0."""
    cut = _shaken(bits, random, LARGEST_BFLOAT16) >> 16
    if least:
        cut = cut + ((cut == 0) & (bits != 0)) * least
    return cut.to(torch.int16).view(torch.bfloat16)


def _float16(x: Tensor, random: Tensor) -> Tensor:
    """Below its smallest normal number, 2**-14, float16 counts in steps of 2**-24."""
    smallest, infinite, not_a_number = 0x38800000, 0x7C00, 0x7E00
    pattern = _pattern(x)
    bits = pattern & MAGNITUDE
    normal = ((bits + (random >> 3)) >> 13) - (112 << 10)
    tiny = _number(bits.clamp(max=smallest)) * 2.0**40
    steps = (tiny.to(torch.int32) + random) >> 16
    rounded = torch.where(bits < smallest, steps, normal.clamp(max=infinite))
    rounded = torch.where(x.isnan(), not_a_number, rounded)
    # The sign fills what is above int16, so that the number fits it.
    signed = rounded | ((pattern >> 16) & -0x8000)
    return signed.to(torch.int16).view(torch.float16)


# --- float8 ---------------------------------------------------------------------------


class Float8(NamedTuple):
    """Codes of the shape of what they stand for, and the exponents of their blocks.

    Both are uint8; `scale` is [row, block]. See `mementum.family.rounding.Float8`.
    """

    codes: Tensor
    scale: Tensor


def blocks(shape: torch.Size) -> tuple[int, int]:
    """Return how many rows a tensor has, and how many blocks each of them."""
    return shape[0], -(-shape[1:].numel() // BLOCK)


def decoded_square(stored: Float8) -> Tensor:
    """Return the float32 numbers that codes of a square stand for."""
    return _decoded(stored.codes.to(torch.int32), stored, SQUARE_OCTAVES)


def decoded_momentum(stored: Float8) -> Tensor:
    """Return the float32 numbers that codes of a momentum stand for."""
    size = _decoded(stored.codes.to(torch.int32) & 0x7F, stored, MOMENTUM_OCTAVES)
    return torch.where(stored.codes < 0x80, size, -size)


def encoded_square(x: Tensor, words: Tensor | None) -> Float8:
    """Round a float32 square with the low 20 bits of its words, or to the nearest."""
    bits = _pattern(x)
    random = 1 << (CUT - 1) if words is None else words & 0xFFFFF
    short = _shifted(_shaken(bits, random, LARGEST_SHORT), CUT)
    short = torch.maximum(short, (bits != 0).to(torch.int32)).clamp(max=SHORT_NAN)
    short = _rows(short)
    top = short.amax(2, keepdim=True) >> 3
    code = torch.maximum(short - _base(top, SQUARE_OCTAVES), short.clamp(max=1))
    return _packed(code, top, x.shape)


def encoded_momentum(x: Tensor, words: Tensor) -> Float8:
    """Round a float32 momentum with the high 12 bits of its words, or the low ones.

    The share of the smallest code that is drawn is exact in float32.
    """
    shaken = _shaken(_pattern(x), _for_momentum(words), LARGEST_SHORT)
    short = _rows(_shifted(shaken, CUT))
    size = (short & 0x7FF).clamp(max=SHORT_NAN)
    # The sign of a NaN is the processor's choice, and not kept.
    sign = ((short >> 4) & 0x80) * (size <= SHORT_INFINITE)
    top = size.amax(2, keepdim=True) >> 3
    base = _base(top, MOMENTUM_OCTAVES)
    share = _number((base + 1) << CUT) * 2.0**-12
    drawn = _rows(words & 0xFFF).to(torch.float32) * share
    chosen = (_number(size << CUT) > drawn).to(torch.int32)
    return _packed(torch.where(size > base, size - base, chosen) | sign, top, x.shape)


def _rows(x: Tensor) -> Tensor:
    """Return a tensor as rows of blocks, the last of each row filled up with zeros."""
    rows, count = blocks(x.shape)
    x = x.reshape(rows, -1)
    width = min(x.shape[1], BLOCK)
    missing = count * width - x.shape[1]
    if missing:
        x = torch.nn.functional.pad(x, (0, missing))
    return x.view(rows, count, width)


def _base(top: Tensor, octaves: int) -> Tensor:
    """Return the short that is code 0 of blocks; no denormal lies above it."""
    return ((top - octaves) * 8).clamp(min=7)


def _packed(code: Tensor, top: Tensor, shape: torch.Size) -> Float8:
    codes = code.flatten(1)[:, : shape[1:].numel()].to(torch.uint8)
    return Float8(codes.reshape(shape), top.squeeze(2).to(torch.uint8))


def _decoded(codes: Tensor, stored: Float8, octaves: int) -> Tensor:
    code = _rows(codes)
    base = _base(stored.scale.to(torch.int32).unsqueeze(2), octaves)
    number = _number(((code + base) * (code != 0)) << CUT)
    return number.flatten(1)[:, : codes.shape[1:].numel()].reshape(codes.shape)
