"""Where a bucket's tensors lie, as a launch is told.

`addresses` has a row a list of tensors and a column a parameter, in int64: p, g, m, v,
the peak's where there is one, and the scales of the moments in the same order. `facts`
has columns too, and the rows that are named below.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl

from mementum.family import noise, rounding
from mementum.torch.backends.triton import agreement

# The rows of facts, as triton/agreement.py says them.
ELEMENTS, FIRST, STATE_IDENTITY, PARAM_IDENTITY = map(
    tl.constexpr,
    (
        agreement.ELEMENTS,
        agreement.FIRST,
        agreement.STATE_IDENTITY,
        agreement.PARAM_IDENTITY,
    ),
)
ROW, ROW_NUMBERS, ROW_PLACES, DIMENSIONS = map(
    tl.constexpr,
    (
        agreement.ROW,
        agreement.ROW_NUMBERS,
        agreement.ROW_PLACES,
        agreement.DIMENSIONS,
    ),
)
FLAT, SLICE, BLOCKS, BLOCK = map(
    tl.constexpr,
    (agreement.FLAT, agreement.SLICE, agreement.BLOCKS, rounding.BLOCK),
)

_STRIDE = tl.constexpr(noise.WIDE_STRIDE)
(_SHIFT_1, _TIMES_1), (_SHIFT_2, _TIMES_2) = (
    map(tl.constexpr, each) for each in noise.WIDE_MIXER
)
_SHIFT_3 = tl.constexpr(noise.LAST_SHIFT)


class Places(NamedTuple):
    """Addresses of a parameter, its gradient and its moments."""

    p: tl.tensor
    g: tl.tensor
    m: tl.tensor
    v: tl.tensor
    k: tl.tensor


class Scales(NamedTuple):
    """Addresses of the second tensors of moments."""

    m: tl.tensor
    v: tl.tensor
    k: tl.tensor


class Keys(NamedTuple):
    """Keys of the noise that rounds the moments, and the parameter."""

    state: tl.tensor
    param: tl.tensor


@triton.jit
def places(addresses, count, KIND: tl.constexpr):
    """Return the addresses in a column."""
    v = tl.load(addresses + 3 * count)
    k = v
    if KIND.peak:
        k = tl.load(addresses + 4 * count)
    return Places(
        tl.load(addresses),
        tl.load(addresses + count),
        tl.load(addresses + 2 * count),
        v,
        k,
    )


@triton.jit
def scales(addresses, count, KIND: tl.constexpr):
    """Return the addresses of the scales in a column, which follow the others."""
    at = addresses + 4 * count
    if KIND.peak:
        at = at + count
    v = tl.load(at + count)
    k = v
    if KIND.peak:
        k = tl.load(at + 2 * count)
    return Scales(tl.load(at), v, k)


@triton.jit
def are_aligned(at):
    """Whether all addresses of a parameter are those of vectors of 16 bytes."""
    return ((at.p | at.g | at.m | at.v | at.k) & 15) == 0


@triton.jit
def pointer(address, TYPE: tl.constexpr, WIDEST: tl.constexpr, MASKED: tl.constexpr):
    """Return a pointer to numbers of a type.

    Where nothing is masked it is said to be aligned to what as many numbers take as 16
    bytes hold of the widest operand: all operands are then laid out alike, and none
    goes through shared memory.
    """
    at = address.to(tl.pointer_type(TYPE))
    if not MASKED:
        at = tl.multiple_of(at, 16 * TYPE.primitive_bitwidth // WIDEST)
    return at


@triton.jit
def spread(place, dimensions, count, RANK: tl.constexpr, INDEX: tl.constexpr):
    """Return where elements are by their strides, counted in row-major order.

    `dimensions` points at a column of sizes and strides.
    """
    rest = place.to(INDEX)
    at = tl.zeros_like(place)
    for _ in tl.static_range(RANK):
        size = tl.load(dimensions).to(INDEX)
        stride = tl.load(dimensions + count)
        at += (rest % size).to(tl.int64) * stride
        rest = rest // size
        dimensions += 2 * count
    return at


@triton.jit
def _mixed(x):
    x = (x ^ (x >> _SHIFT_1)) * _TIMES_1
    x = (x ^ (x >> _SHIFT_2)) * _TIMES_2
    return x ^ (x >> _SHIFT_3)


@triton.jit
def _key(identity, step):
    """Return the key of a parameter's noise in a step: `mementum.family.noise.keys`."""
    mixed_step = _mixed(step.to(tl.uint64) * _STRIDE)
    return _mixed(identity.to(tl.uint64, bitcast=True) ^ mixed_step)


@triton.jit
def keys(facts, count, step, KIND: tl.constexpr):
    """Return the keys of a parameter's noise, as far as anything is rounded with it."""
    state = step.to(tl.uint64)
    param = state
    if (KIND.state == tl.uint16) or (KIND.state == tl.uint8):
        state = _key(tl.load(facts + STATE_IDENTITY * count), step)
    if KIND.rounds:
        param = _key(tl.load(facts + PARAM_IDENTITY * count), step)
    return Keys(state, param)


@triton.jit
def load(pointers, live, MASKED: tl.constexpr):
    """Return what is stored at pointers, or zeros where it is masked and not live."""
    if MASKED:
        return tl.load(pointers, live, 0)
    else:
        return tl.load(pointers)


@triton.jit
def store(pointers, values, live, MASKED: tl.constexpr):
    """Store values at pointers, as far as they are live."""
    if MASKED:
        tl.store(pointers, values, live)
    else:
        tl.store(pointers, values)
