"""The step of a bucket: one launch, a program for each piece of a parameter."""

from __future__ import annotations

import triton
import triton.language as tl

from mementum.torch.backends.triton.kernels import flat, float8, memory, rule
from mementum.torch.backends.triton.kernels.rule import Numbers


@triton.jit(do_not_specialize=["count", "number_row", "counted_step"])
def step(
    work,
    addresses,
    facts,
    numbers,
    steps,
    scale_at,
    skip,
    count: tl.int32,
    number_row: tl.int32,
    counted_step: tl.int64,
    scale: tl.float32,
    pull: tl.float32,
    take_m: tl.float32,
    square_g: tl.float32,
    square_m: tl.float32,
    take_v: tl.float32,
    eps_in: tl.float32,
    eps_root: tl.float32,
    eps_out: tl.float32,
    shrink: tl.float32,
    step_g: tl.float32,
    step_m: tl.float32,
    KIND: tl.constexpr,
):
    """Step the piece of a parameter that an entry of the work names."""
    if KIND.skips:
        if tl.load(skip) != 0:
            return
    entry = tl.load(work + tl.program_id(0))
    parameter = entry >> 32
    piece = entry & 0xFFFFFFFF
    if KIND.tabled:
        c = rule.tabled(numbers + parameter * number_row)
    else:
        if KIND.scaled:
            scale = tl.load(scale_at).to(KIND.computed)
        c = Numbers(
            scale,
            pull,
            take_m,
            square_g,
            square_m,
            take_v,
            eps_in,
            eps_root,
            eps_out,
            shrink,
            step_g,
            step_m,
        )
    if KIND.counted:
        counted_step = tl.load(steps + parameter)
    addresses += parameter
    facts += parameter
    keys = memory.keys(facts, count, counted_step, KIND)
    at = memory.places(addresses, count, KIND)
    if KIND.state == tl.uint8:
        scales = memory.scales(addresses, count, KIND)
        float8.update(at, scales, facts, count, piece, keys, c, KIND)
    else:
        flat.update(at, facts, count, piece, keys, c, KIND)
