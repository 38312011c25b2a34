"""How numbers are stored below float32: the definition, on integers.

Numbers are the bit patterns of float32, uint32, and random bits the words of
`mementum.family.noise`. The backends give the same bits. A number is rounded by adding
random bits below those that are kept, and cutting:

    rounded = (bits + random) >> cut,   random uniform in [0, 2**cut)

The patterns of one sign rise with their values, so a carry is a step to the next number
of the format, its chance is the share of the way to it, and a number that the format
holds stays as it is. No finite number becomes infinite, but above the range of float16;
what is infinite or NaN gets no random bits. NaNs are quiet, as arithmetic makes them.

One word serves both moments of an element: its low bits the square, its high 12 the
momentum. A peak is rounded to the nearest, since noise would drive it up.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Arrays of uint32, patterns or words, whose type NumPy's annotations lose in integers.
Bits: TypeAlias = NDArray[Any]

MAGNITUDE = 0x7FFFFFFF
INFINITE = 0x7F800000
# The largest numbers of the formats, as float32: above them nothing is added.
LARGEST_BFLOAT16 = 0x7F7F0000
LARGEST_SHORT = 0x7F700000

# float8: how many elements a block has at most, how many bits are cut from a float32 to
# leave three of its mantissa, and how many octaves below the top one of a block the
# codes of a square and of a momentum reach.
BLOCK = 256
CUT = 20
SHORT_INFINITE, SHORT_NAN = 0x7F8, 0x7FC
SQUARE_OCTAVES, MOMENTUM_OCTAVES = 31, 15


def _shaken(bits: Bits, random: Bits | int, limit: int) -> Bits:
    """Return ``bits + random`` below the limit of a format, and other bits as they are.

    The limit is the format's largest number: what rises to it or above stays finite.
    """
    return np.where((bits & MAGNITUDE) < limit, bits + random, bits).astype(np.uint32)


def _for_momentum(words: Bits) -> Bits:
    """Return the high 12 bits of words, above 8 zeros: 20 bits to add."""
    return (words >> 12) & 0xFFF00


# --- bfloat16 and float16 -------------------------------------------------------------


def bfloat16(bits: Bits, words: Bits | None) -> NDArray[np.uint16]:
    """Round to bfloat16, the upper 16 bits of a float32, with the low bits of words.

    Without words it rounds to the nearest, and to the even one of two:

        rounded = (bits + 0x7FFF + last) >> 16,   last = the last bit that is kept
    """
    if words is not None:
        cut = _shaken(bits, words & 0xFFFF, LARGEST_BFLOAT16) >> 16
        return cut.astype(np.uint16)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    not_a_number = (bits & MAGNITUDE) > INFINITE
    return np.where(not_a_number, 0x7FC0, nearest).astype(np.uint16)


def bfloat16_momentum(bits: Bits, words: Bits) -> NDArray[np.uint16]:
    """Round a momentum to bfloat16 with the high 12 bits of its words."""
    return bfloat16(bits, _for_momentum(words) >> 4)


def bfloat16_square(bits: Bits, words: Bits) -> NDArray[np.uint16]:
    """Round a square to bfloat16 with the low 16 bits; only zero becomes zero.

    A square that is not zero is stored as the smallest number at least: it divides.
    """
    return np.maximum(bfloat16(bits, words), np.minimum(bits, 1)).astype(np.uint16)


def float16(bits: Bits, words: Bits | None) -> NDArray[np.uint16]:
    """Round to float16 with the low 16 bits of words, or to the nearest, ties to even.

    From 2**-14 up, it cuts 13 bits, moves the exponent's bias from 127 to 15, and ends
    at infinity. Below, it counts in steps of 2**-24:

        steps = floor(abs(x) * 2**24 + random / 2**16)
    """
    size, sign = bits & MAGNITUDE, (bits >> 16) & 0x8000
    exponent, mantissa = size >> 23, size & 0x7FFFFF
    # float32's own denormals are far below a step, with this bit or without.
    significand = mantissa | 0x800000
    if words is None:
        shift = np.clip(126 - np.minimum(exponent, 126), 1, 31).astype(np.uint32)
        half_up = significand + ((1 << (shift - 1)) - 1) + ((significand >> shift) & 1)
        steps = half_up >> shift
        random = 0xFFF + ((size >> 13) & 1)
    else:
        shift = np.clip(112 - np.minimum(exponent, 112), 0, 31).astype(np.uint32)
        steps = (((significand << 2) >> shift) + (words & 0xFFFF)) >> 16
        random = (words & 0xFFFF) >> 3
    normal = ((size + random) >> 13) - (112 << 10)
    rounded = np.where(exponent < 113, steps, np.minimum(normal, 0x7C00))
    rounded = np.where(size > INFINITE, 0x7E00, rounded)
    half: NDArray[np.uint16] = (rounded | sign).astype(np.uint16)
    return half


# --- float8 ---------------------------------------------------------------------------


class Float8(NamedTuple):
    """Codes of a byte, and the exponent of each block: powers of two are its scale.

    `codes` are [row, element] and `exponents` [row, block], both uint8. A row is the
    elements at one index of dimension 0; its blocks have 256 of them, the last one what
    is left.

    A number is first rounded to a float32 with three bits of mantissa, a short: the
    upper 12 bits of its pattern. A block keeps the exponent of its largest short. Codes
    count shorts upwards from just above a base,

        short = base + code,   base = max(8 (exponent - octaves), 7),

    and code 0 is zero. They reach 31 octaves below the top one for a square, and 15 for
    a momentum, whose code begins with its sign. No code stands for a denormal of
    float32. A block that holds an infinity or NaN keeps it, and its other elements are
    below its range.
    """

    codes: NDArray[np.uint8]
    exponents: NDArray[np.uint8]


def decoded_square(stored: Float8) -> Bits:
    """Return the bits of the numbers that codes of a square stand for."""
    return _decoded(stored.codes, stored.exponents, SQUARE_OCTAVES)


def decoded_momentum(stored: Float8) -> Bits:
    """Return the bits of the numbers that codes of a momentum stand for."""
    size = _decoded(stored.codes & 0x7F, stored.exponents, MOMENTUM_OCTAVES)
    sign = (stored.codes & 0x80).astype(np.uint32) << 24
    bits: Bits = size | sign
    return bits


def encoded_square(bits: Bits, words: Bits | None) -> Float8:
    """Round rows of squares with the low 20 bits of their words, or to the nearest.

    Only zero becomes zero: below the range of its block, a square takes the smallest
    code. A negative square has no root, and counts as NaN. Of two nearest numbers it
    takes the larger.
    """
    random = 1 << (CUT - 1) if words is None else words & 0xFFFFF
    short = _shaken(bits, random, LARGEST_SHORT) >> CUT
    short = np.maximum(short, np.minimum(bits, 1))
    short = _blocks(np.minimum(short, SHORT_NAN))
    exponent = short.max(axis=2, keepdims=True) >> 3
    base = _base(exponent, SQUARE_OCTAVES)
    code = np.where(short > base, short - base, np.minimum(short, 1))
    return _packed(code, exponent, bits.shape)


def encoded_momentum(bits: Bits, words: Bits) -> Float8:
    """Round rows of momenta with the high 12 bits of their words.

    Below the range of its block the choice is between zero and the smallest code, in
    proportion, and made by the low 12 bits:

        code = 1 where  size > draw / 2**12 * smallest,   draw = words & 0xFFF
    """
    short = _shaken(bits, _for_momentum(words), LARGEST_SHORT) >> CUT
    short, draw = _blocks(short), _blocks(words & 0xFFF)
    size = np.minimum(short & 0x7FF, SHORT_NAN)
    # The sign of a NaN is the processor's choice, and not kept.
    sign = np.where(size > SHORT_INFINITE, 0, (short >> 4) & 0x80)
    exponent = size.max(axis=2, keepdims=True) >> 3
    base = _base(exponent, MOMENTUM_OCTAVES)
    code = np.where(size > base, size - base, _exceeds(size, draw, base + 1))
    return _packed(code | sign, exponent, bits.shape)


def _exceeds(size: Bits, draw: Bits, smallest: Bits) -> Bits:
    """Return where ``size > draw / 2**12 * smallest``, for sizes below the smallest.

    With ``x = significand(x) * 2**octave(x)`` that is

        significand(size) * 2**12 > draw * significand(smallest) * 2**apart,

    and from 13 octaves apart on, a draw of 1 is larger than any size.
    """
    octave, top = _octave(size), _octave(smallest)
    apart = np.minimum(np.maximum(top, octave) - octave, 13)
    exceeds: Bits = _significand(size) << 12 > (draw * _significand(smallest)) << apart
    return exceeds


def _octave(short: Bits) -> Bits:
    """Return the exponent of shorts; denormal ones have that of the first octave."""
    exponent: Bits = np.maximum(short >> 3, 1)
    return exponent


def _significand(short: Bits) -> Bits:
    """Return three bits of mantissa, after the leading 1 that only denormals lack."""
    return np.where(short >> 3, (short & 7) | 8, short & 7).astype(np.uint32)


def _blocks(rows: Bits) -> Bits:
    """Return rows cut into blocks, the last of each row filled up with zeros."""
    count = -(-rows.shape[1] // BLOCK)
    padded = np.pad(rows, ((0, 0), (0, count * BLOCK - rows.shape[1])))
    return padded.reshape(len(rows), count, BLOCK)


def _base(exponent: Bits, octaves: int) -> Bits:
    """Return the short that is code 0 of blocks; no denormal lies above it."""
    base: Bits = np.maximum((np.maximum(exponent, octaves) - octaves) * 8, 7)
    return base


def _packed(code: Bits, exponent: Bits, shape: tuple[int, ...]) -> Float8:
    codes = code.reshape(shape[0], -1)[:, : shape[1]]
    return Float8(codes.astype(np.uint8), exponent[:, :, 0].astype(np.uint8))


def _decoded(codes: NDArray[Any], exponents: NDArray[Any], octaves: int) -> Bits:
    code = _blocks(codes.astype(np.uint32))
    base = _base(exponents.astype(np.uint32)[:, :, None], octaves)
    short = np.where(code == 0, 0, code + base).astype(np.uint32)
    return (short << CUT).reshape(len(codes), -1)[:, : codes.shape[1]]
