"""Sums of squares of gradients, in float64, in an order that their sizes decide."""

from __future__ import annotations

import triton
import triton.language as tl

from mementum.torch.backends.triton import agreement
from mementum.torch.backends.triton.kernels import memory, rounding

# Elements of a program of the first kernel, and sums that the second adds at once.
PIECE, SUMS = map(tl.constexpr, (agreement.PIECE, 1024))

# `told` has addresses, numbers of elements, and where the pieces of a gradient begin:
# a column for each of `count` gradients, and one end more.


@triton.jit(do_not_specialize=["count"])
def pieces(work, told, sums, count: tl.int32, GRAD: tl.constexpr):
    """Add up the squares of the piece of a gradient that an entry of the work names."""
    program = tl.program_id(0)
    entry = tl.load(work + program)
    told += entry >> 32
    begin = (entry & 0xFFFFFFFF) * PIECE
    address = tl.load(told)
    left = tl.load(told + count) - begin
    offsets = tl.arange(0, PIECE)
    if (left >= PIECE) & ((address & 15) == 0):
        at = memory.pointer(address, GRAD, GRAD.primitive_bitwidth, False)
        x = tl.load(at + begin + offsets)
    else:
        at = memory.pointer(address, GRAD, GRAD.primitive_bitwidth, True)
        x = tl.load(at + begin + offsets, offsets < left, 0)
    x = rounding.widened(x, tl.float64)
    tl.store(sums + program, tl.sum(x * x))


@triton.jit(do_not_specialize=["count"])
def totals(sums, told, out, count: tl.int32):
    """Add up the sums of a gradient's pieces: one program a gradient."""
    gradient = tl.program_id(0)
    ends = told + 2 * count + gradient
    begin = tl.load(ends)
    end = tl.load(ends + 1)
    lanes = tl.arange(0, SUMS)
    total = tl.zeros((SUMS,), tl.float64)
    at = begin
    while at < end:
        total += tl.load(sums + at + lanes, at + lanes < end, 0.0)
        at += SUMS
    tl.store(out + gradient, tl.sum(total))
