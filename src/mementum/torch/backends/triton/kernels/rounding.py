"""Noise, and numbers rounded with it: `mementum.family.rounding`, for tiles.

Each function gives the bits of the definition of the same name.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mementum.family import noise, rounding

_STRIDE = tl.constexpr(noise.STRIDE)
_FIRST, _SECOND = map(tl.constexpr, noise.MULTIPLIERS)
_MAGNITUDE = tl.constexpr(rounding.MAGNITUDE)
# Below them random bits are added, as numbers: one comparison, which is false for NaN.
_LARGEST_BFLOAT16 = tl.constexpr(2.0**127 * (1 + 127 / 128))
_LARGEST_SHORT = tl.constexpr(2.0**127 * (1 + 7 / 8))
_CUT = tl.constexpr(rounding.CUT)
_SHORT_NAN = tl.constexpr(rounding.SHORT_NAN)
_SHORT_INFINITE = tl.constexpr(rounding.SHORT_INFINITE)
_SQUARE_OCTAVES = tl.constexpr(rounding.SQUARE_OCTAVES)
_MOMENTUM_OCTAVES = tl.constexpr(rounding.MOMENTUM_OCTAVES)
_NEAREST_SHORT = tl.constexpr(1 << (rounding.CUT - 1))


@triton.jit
def _low(x):
    return (x & 0xFFFFFFFF).to(tl.uint32)


@triton.jit
def _high(x):
    return ((x >> 32) & 0xFFFFFFFF).to(tl.uint32)


@triton.jit
def _mixed(x, second):
    x = (x ^ (x >> 16)) * _FIRST
    x = (x ^ (x >> 15) ^ second) * _SECOND
    return x ^ (x >> 16)


@triton.jit
def words(number, key):
    """Return the words of elements with these numbers, int64."""
    return _mixed(_low(number) ^ (_low(key) + _high(number) * _STRIDE), _high(key))


@triton.jit
def words_after(first, offsets, key):
    """Return the words of the elements `first + offsets`, where no carry can be.

    `first` is a multiple of a power of two that the offsets are below.
    """
    keyed = _low(first) ^ (_low(key) + _high(first) * _STRIDE)
    return _mixed(offsets.to(tl.uint32) ^ keyed, _high(key))


@triton.jit
def _pattern(x):
    return x.to(tl.uint32, bitcast=True)


@triton.jit
def _number(bits):
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def _shaken(x, random, LIMIT: tl.constexpr):
    return _pattern(x) + tl.where(tl.abs(x) < LIMIT, random, 0)


@triton.jit
def _for_momentum(word):
    return (word >> 12) & 0xFFF00


# --- bfloat16 and float16 -------------------------------------------------------------


@triton.jit
def widened(x, TYPE: tl.constexpr):
    """Return stored numbers as they are computed with."""
    if x.dtype == tl.uint16:
        return _number(x.to(tl.uint32) << 16).to(TYPE)
    else:
        return x.to(TYPE)


@triton.jit
def narrowed(x, TYPE: tl.constexpr):
    """Return computed numbers as they are stored, each the nearest."""
    if TYPE == tl.uint16:
        x = x.to(tl.float32)
        bits = _pattern(x)
        to_even = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return tl.where(x != x, 0x7FC0, to_even).to(tl.uint16)
    elif TYPE == tl.float16:
        return x.to(tl.float32).to(tl.float16)
    else:
        return x.to(TYPE)


@triton.jit
def parameter(x, word, TYPE: tl.constexpr):
    """Round parameters to what they are stored in with the low bits of their words."""
    x = x.to(tl.float32)
    random = word & 0xFFFF
    if TYPE == tl.float16:
        return _float16(x, random).to(tl.float16, bitcast=True)
    else:
        return (_shaken(x, random, _LARGEST_BFLOAT16) >> 16).to(tl.uint16)


@triton.jit
def _float16(x, random):
    whole = _pattern(x)
    bits = whole & _MAGNITUDE
    normal = ((bits + (random >> 3)) >> 13) - (112 << 10)
    tiny = _number(tl.minimum(bits, 0x38800000)) * 1099511627776.0  # 2**40
    steps = (tiny.to(tl.int32).to(tl.uint32) + random) >> 16
    finite = tl.where(bits < 0x38800000, steps, tl.minimum(normal, 0x7C00))
    rounded = tl.where(x != x, 0x7E00, finite)
    return (rounded | ((whole >> 16) & 0x8000)).to(tl.uint16)


@triton.jit
def bfloat16_momentum(x, word):
    """Round a momentum to bfloat16 with the high 12 bits of its words."""
    return (_shaken(x, _for_momentum(word) >> 4, _LARGEST_BFLOAT16) >> 16).to(tl.uint16)


@triton.jit
def bfloat16_square(x, word):
    """Round a square to bfloat16 with the low 16 bits; only zero becomes zero."""
    cut = _shaken(x, word & 0xFFFF, _LARGEST_BFLOAT16) >> 16
    return tl.maximum(cut, tl.minimum(_pattern(x), 1)).to(tl.uint16)


# --- float8: rows of blocks, one exponent each ----------------------------------------


@triton.jit
def _base(exponent, OCTAVES: tl.constexpr):
    return tl.maximum((exponent.to(tl.int32) - OCTAVES) * 8, 7).to(tl.uint32)


@triton.jit
def _short_number(short):
    return _number(short << _CUT)


@triton.jit
def decoded_square(code, exponent):
    """Return the numbers that codes of a square stand for; `exponent` is a column."""
    code = code.to(tl.uint32)
    base = _base(exponent, _SQUARE_OCTAVES)
    return _short_number(code + base * tl.minimum(code, 1))


@triton.jit
def decoded_momentum(code, exponent):
    """Return the numbers that codes of a momentum stand for; `exponent` is a column."""
    code = code.to(tl.uint32)
    base = _base(exponent, _MOMENTUM_OCTAVES)
    low = code & 0x7F
    size = (low + base * tl.minimum(low, 1)) << _CUT
    return _number(size | ((code << 24) & 0x80000000))


@triton.jit
def encoded_square(x, word, live, MASKED: tl.constexpr):
    """Return codes and exponents of squares, rounded with the low 20 bits.

    What is masked and not `live` counts as zero.
    """
    return _encoded_square(x, word & 0xFFFFF, live, MASKED)


@triton.jit
def encoded_peak(x, live, MASKED: tl.constexpr):
    """Return codes and exponents of peaks, rounded to the nearest."""
    half = tl.full(x.shape, _NEAREST_SHORT, tl.uint32)
    return _encoded_square(x, half, live, MASKED)


@triton.jit
def _encoded_square(x, random, live, MASKED: tl.constexpr):
    short = _shaken(x, random, _LARGEST_SHORT) >> _CUT
    short = tl.minimum(tl.maximum(short, tl.minimum(_pattern(x), 1)), _SHORT_NAN)
    if MASKED:
        short = tl.where(live, short, 0)
    top = tl.max(short, axis=1) >> 3
    base = _base(top, _SQUARE_OCTAVES).to(tl.int32)[:, None]
    # Below the base the difference is negative, and the least code taken.
    short = short.to(tl.int32)
    code = tl.maximum(short - base, tl.minimum(short, 1))
    return code.to(tl.uint8), top.to(tl.uint8)


@triton.jit
def encoded_momentum(x, word, live, MASKED: tl.constexpr):
    """Return codes and exponents of momenta, rounded with the bits of their words."""
    short = _shaken(x, _for_momentum(word), _LARGEST_SHORT) >> _CUT
    if MASKED:
        short = tl.where(live, short, 0)
    size = tl.minimum(short & 0x7FF, _SHORT_NAN)
    # The sign of a NaN is the processor's choice, and not kept.
    sign = tl.where(size > _SHORT_INFINITE, 0, (short >> 4) & 0x80)
    top = tl.max(size, axis=1) >> 3
    base = _base(top, _MOMENTUM_OCTAVES)
    share = _short_number(base + 1) * 0.000244140625  # 2**-12
    drawn = (word & 0xFFF).to(tl.int32).to(tl.float32) * share[:, None]
    chosen = (_short_number(size) > drawn).to(tl.int32)
    # Above the base a code is 1 at least, and below it the difference is negative.
    code = tl.maximum(size.to(tl.int32) - base.to(tl.int32)[:, None], chosen)
    return (code.to(tl.uint32) | sign).to(tl.uint8), top.to(tl.uint8)
