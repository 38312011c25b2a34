"""The step of parameters whose moments are codes of a byte, 256 to an exponent."""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl

from mementum.torch.backends.triton.kernels import memory, rounding, rule
from mementum.torch.backends.triton.kernels.rule import Element


@triton.jit
def update(at, scales, facts, count, piece, keys, c, KIND: tl.constexpr):
    """Step some blocks of a parameter."""
    block = piece * memory.BLOCKS
    row = tl.load(facts + memory.ROW * count)
    first = tl.load(facts + memory.FIRST * count)
    left = tl.load(facts + memory.ELEMENTS * count) // row
    left = left * tl.cdiv(row, memory.BLOCK) - block
    # Blocks follow one another in memory and in their numbers.
    follow = tl.load(facts + memory.ROW_NUMBERS * count) == row
    follow &= (row % memory.BLOCK == 0) & (first % (memory.BLOCKS * memory.BLOCK) == 0)
    whole = (left >= memory.BLOCKS) & (KIND.rank == 0)
    if memory.are_aligned(at) & whole & follow:
        _tile(
            at, scales, facts, count, block, first, keys, c, KIND, False, memory.BLOCKS
        )
    else:
        for done in tl.range(0, memory.BLOCKS, 1, num_stages=1):
            if done < left:
                _tile(
                    at,
                    scales,
                    facts,
                    count,
                    block + done,
                    first,
                    keys,
                    c,
                    KIND,
                    True,
                    1,
                )


class _Blocks(NamedTuple):
    """Where elements of blocks are, whether they are live, and their noise."""

    codes: tl.tensor
    places: tl.tensor
    live: tl.tensor
    state_words: tl.tensor
    param_words: tl.tensor


@triton.jit
def _in_order(block, first, keys, KIND: tl.constexpr, BLOCKS: tl.constexpr):
    """Return blocks that follow one another in memory and in their numbers."""
    blocks = (tl.arange(0, BLOCKS) * memory.BLOCK)[:, None]
    offsets = blocks + tl.arange(0, memory.BLOCK)[None, :]
    codes = block * memory.BLOCK + offsets
    start = first + block * memory.BLOCK
    state_words = rounding.words_after(start, offsets, keys.state)
    param_words = state_words
    if KIND.rounds:
        param_words = rounding.words_after(start, offsets, keys.param)
    return _Blocks(codes, codes, offsets >= 0, state_words, param_words)


@triton.jit
def _anywhere(facts, count, block, first, keys, KIND: tl.constexpr):
    """Return one block of a row, whose last one may be short."""
    own = block + tl.arange(0, 1).to(tl.int64)
    row = tl.load(facts + memory.ROW * count)
    per_row = tl.cdiv(row, memory.BLOCK)
    begin = own % per_row * memory.BLOCK
    column = begin[:, None] + tl.arange(0, memory.BLOCK)[None, :]
    codes = (own // per_row * row)[:, None] + column
    row_numbers = tl.load(facts + memory.ROW_NUMBERS * count)
    number = first + (own // per_row * row_numbers)[:, None] + column
    places = codes
    if KIND.rank > 0:
        row_places = tl.load(facts + memory.ROW_PLACES * count)
        dimensions = facts + memory.DIMENSIONS * count
        places = (own // per_row * row_places)[:, None] + memory.spread(
            column, dimensions, count, KIND.rank, KIND.index
        )
    state_words = rounding.words(number, keys.state)
    param_words = state_words
    if KIND.rounds:
        param_words = rounding.words(number, keys.param)
    return _Blocks(codes, places, column < row, state_words, param_words)


@triton.jit
def _tile(
    at,
    scales,
    facts,
    count,
    block,
    first,
    keys,
    c,
    KIND: tl.constexpr,
    MASKED: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Step some blocks, which follow one another, or one block where it is masked."""
    if MASKED:
        of = _anywhere(facts, count, block, first, keys, KIND)
    else:
        of = _in_order(block, first, keys, KIND, BLOCKS)
    live = of.live
    p_ = memory.pointer(at.p, KIND.param, KIND.widest, MASKED) + of.places
    g_ = memory.pointer(at.g, KIND.grad, KIND.widest, MASKED) + of.places
    m_ = memory.pointer(at.m, KIND.state, KIND.widest, MASKED) + of.codes
    v_ = memory.pointer(at.v, KIND.state, KIND.widest, MASKED) + of.codes
    k_ = memory.pointer(at.k, KIND.state, KIND.widest, MASKED) + of.codes
    blocks = tl.arange(0, BLOCKS)
    m_scale = scales.m.to(tl.pointer_type(tl.uint8)) + block + blocks
    v_scale = scales.v.to(tl.pointer_type(tl.uint8)) + block + blocks
    k_scale = scales.k.to(tl.pointer_type(tl.uint8)) + block + blocks
    # All are loaded before the first is used.
    p = memory.load(p_, live, MASKED)
    g = memory.load(g_, live, MASKED)
    m = memory.load(m_, live, MASKED)
    v = memory.load(v_, live, MASKED)
    m_exponent = tl.load(m_scale)[:, None]
    v_exponent = tl.load(v_scale)[:, None]
    v = rounding.decoded_square(v, v_exponent)
    k = v
    if KIND.peak:
        k = rounding.decoded_square(
            memory.load(k_, live, MASKED), tl.load(k_scale)[:, None]
        )
    m = rounding.decoded_momentum(m, m_exponent)
    before = Element(rounding.widened(p, tl.float32), m, v, k)
    after = rule.advance(c, rounding.widened(g, tl.float32), before, KIND)
    m, m_exponent = rounding.encoded_momentum(after.m, of.state_words, live, MASKED)
    v, v_exponent = rounding.encoded_square(after.v, of.state_words, live, MASKED)
    memory.store(m_, m, live, MASKED)
    memory.store(v_, v, live, MASKED)
    tl.store(m_scale, m_exponent)
    tl.store(v_scale, v_exponent)
    if KIND.peak:
        k, k_exponent = rounding.encoded_peak(after.k, live, MASKED)
        memory.store(k_, k, live, MASKED)
        tl.store(k_scale, k_exponent)
    if KIND.rounds:
        p = rounding.parameter(after.p, of.param_words, KIND.param)
    else:
        p = rounding.narrowed(after.p, KIND.param)
    memory.store(p_, p, live, MASKED)
