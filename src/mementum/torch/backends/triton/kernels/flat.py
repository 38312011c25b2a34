"""The step of parameters whose moments are numbers, each for itself."""

from __future__ import annotations

import triton
import triton.language as tl

from mementum.torch.backends.triton.kernels import memory, rounding, rule
from mementum.torch.backends.triton.kernels.rule import Element


@triton.jit
def update(at, facts, count, piece, keys, c, KIND: tl.constexpr):
    """Step a piece of a parameter."""
    begin = piece * memory.FLAT
    left = tl.load(facts + memory.ELEMENTS * count) - begin
    first = tl.load(facts + memory.FIRST * count)
    # A block of noise begins where this one does, or each element asks for its own.
    even = (KIND.rank > 0) | (first % memory.FLAT == 0)
    if memory.are_aligned(at) & (left >= memory.FLAT) & even:
        _tile(at, facts, count, begin, left, first, keys, c, KIND, False, memory.FLAT)
    else:
        # In slices, so that this path does not decide how many registers there are.
        for done in tl.range(0, memory.FLAT, memory.SLICE, num_stages=1):
            if done < left:
                _tile(
                    at,
                    facts,
                    count,
                    begin + done,
                    left - done,
                    first,
                    keys,
                    c,
                    KIND,
                    True,
                    memory.SLICE,
                )


@triton.jit
def _tile(
    at,
    facts,
    count,
    begin,
    left,
    first,
    keys,
    c,
    KIND: tl.constexpr,
    MASKED: tl.constexpr,
    SIZE: tl.constexpr,
):
    """Step `SIZE` elements from `begin` on, or what is `left` of them if masked."""
    offsets = tl.arange(0, SIZE)
    live = offsets < left
    p_ = memory.pointer(at.p, KIND.param, KIND.widest, MASKED) + begin + offsets
    g_ = memory.pointer(at.g, KIND.grad, KIND.widest, MASKED) + begin + offsets
    m_ = memory.pointer(at.m, KIND.state, KIND.widest, MASKED) + begin + offsets
    v_ = memory.pointer(at.v, KIND.state, KIND.widest, MASKED) + begin + offsets
    k_ = memory.pointer(at.k, KIND.state, KIND.widest, MASKED) + begin + offsets
    # All are loaded before the first is used.
    p = memory.load(p_, live, MASKED)
    g = memory.load(g_, live, MASKED)
    m = memory.load(m_, live, MASKED)
    v = memory.load(v_, live, MASKED)
    k = v
    if KIND.peak:
        k = memory.load(k_, live, MASKED)
    TYPE: tl.constexpr = KIND.computed
    before = Element(
        rounding.widened(p, TYPE),
        rounding.widened(m, TYPE),
        rounding.widened(v, TYPE),
        rounding.widened(k, TYPE),
    )
    after = rule.advance(c, rounding.widened(g, TYPE), before, KIND)
    number = first + begin + offsets
    if KIND.rank > 0:
        dimensions = facts + memory.DIMENSIONS * count
        number = first + memory.spread(
            begin + offsets, dimensions, count, KIND.rank, KIND.index
        )
    if KIND.state == tl.uint16:
        word = _words(number, first + begin, offsets, keys.state, KIND, MASKED)
        memory.store(m_, rounding.bfloat16_momentum(after.m, word), live, MASKED)
        memory.store(v_, rounding.bfloat16_square(after.v, word), live, MASKED)
    else:
        memory.store(m_, rounding.narrowed(after.m, KIND.state), live, MASKED)
        memory.store(v_, rounding.narrowed(after.v, KIND.state), live, MASKED)
    if KIND.peak:
        memory.store(k_, rounding.narrowed(after.k, KIND.state), live, MASKED)
    if KIND.rounds:
        word = _words(number, first + begin, offsets, keys.param, KIND, MASKED)
        p = rounding.parameter(after.p, word, KIND.param)
    else:
        p = rounding.narrowed(after.p, KIND.param)
    memory.store(p_, p, live, MASKED)


@triton.jit
def _words(number, start, offsets, key, KIND: tl.constexpr, MASKED: tl.constexpr):
    """Return the words of a tile; an unmasked one begins where a block does."""
    if MASKED or KIND.rank > 0:
        return rounding.words(number, key)
    else:
        return rounding.words_after(start, offsets, key)
