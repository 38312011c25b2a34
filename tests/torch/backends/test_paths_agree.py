"""The paths, and every way to split the work among them, give the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from tests.torch.cases import (
    COMPILED,
    EAGER,
    KINDS,
    SHAPES,
    TORCHS,
    Member,
    Options,
    bits_of,
    branches,
    drive,
    gradients,
    kinds,
    parameters,
    paths,
    run,
    same_bits,
    settings,
    twins,
    with_gaps,
)

from mementum.torch.backends import native

STEPS = 8
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64]
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
WIDE_SHAPES = (*SHAPES, (33,), (7, 19))


@settings
@dtypes
def test_every_path_gives_the_same_bits(
    member: Member, options: Options, dtype: torch.dtype
) -> None:
    start = parameters(dtype, WIDE_SHAPES)
    grads = with_gaps(gradients(start, STEPS))
    by_path = [
        bits_of(run(member, start, grads, **options, **flags)[1])
        for flags in EAGER.values()
    ]
    assert all(same_bits(by_path[0], other) for other in by_path[1:])


@branches
@dtypes
def test_capturable_paths_give_the_same_bits(
    member: Member, options: Options, dtype: torch.dtype
) -> None:
    start = parameters(dtype, WIDE_SHAPES)
    grads = with_gaps(gradients(start, STEPS))
    loop, foreach = (
        bits_of(
            run(member, start, grads, capturable=True, foreach=foreach, **options)[1]
        )
        for foreach in (False, True)
    )
    assert same_bits(loop, foreach)


@kinds
@paths(EAGER)
def test_splitting_a_bucket_changes_nothing(member: Member, flags: Options) -> None:
    start = parameters(shapes=WIDE_SHAPES)
    grads = with_gaps(gradients(start, STEPS))
    whole = bits_of(run(member, start, grads, **flags)[1])

    in_groups = twins(start)
    halves = [{"params": in_groups[:2]}, {"params": in_groups[2:]}]
    optimizer = member(halves, **flags)
    drive(optimizer, in_groups, grads)
    assert same_bits(bits_of(optimizer), whole)

    alone = [
        bits_of(run(member, [p], [[step[i]] for step in grads], **flags)[1])
        for i, p in enumerate(start)
    ]
    assert same_bits([kept for one in alone for kept in one], whole)


@kinds
@paths(EAGER)
def test_cutting_a_parameter_in_pieces_changes_nothing(
    member: Member, flags: Options
) -> None:
    (start,) = parameters(shapes=[(131,)])
    grads = gradients([start], STEPS)
    (whole,), _ = run(member, [start], grads, **flags)
    for size in (1, 3, 8, 17):
        pieces = [p.clone().requires_grad_() for p in start.detach().split(size)]
        cut = [list(step[0].split(size)) for step in grads]
        parts, _ = run(member, pieces, cut, **flags)
        assert same_bits(torch.cat(parts), whole)


@kinds
@paths(EAGER)
def test_the_order_of_parameters_changes_nothing(
    member: Member, flags: Options
) -> None:
    start = parameters(shapes=WIDE_SHAPES)
    grads = gradients(start, STEPS)
    forward, _ = run(member, start, grads, **flags)
    backward, _ = run(member, start[::-1], [step[::-1] for step in grads], **flags)
    assert same_bits(forward, backward[::-1])


@kinds
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "flags", [{}, {"capturable": True}], ids=["host", "capturable"]
)
def test_parameters_larger_than_a_cache_are_cut_unseen(
    member: Member, dtype: torch.dtype, flags: Options
) -> None:
    start = parameters(dtype, [(7,), (40_003,), (), (130, 260), (30_000,), (3_000,)])
    start.append(torch.ones(260, 130, dtype=dtype).t().requires_grad_())
    grads = with_gaps(gradients(start, 4))
    ends = [
        bits_of(run(member, start, grads, **each, **flags)[1])
        for each in ({}, *TORCHS.values())
    ]
    assert same_bits(ends[0], ends[1])
    assert same_bits(ends[0], ends[2])


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# torch shares work among threads from 32,768 elements on, the compiled kernel from
# 2 * 131,072.
@kinds
@pytest.mark.parametrize(
    ("elements", "flags"),
    [(40_003, flags) for flags in TORCHS.values()]
    + [(300_007, flags) for flags in COMPILED.values()],
    ids=[*TORCHS, *COMPILED],
)
def test_threads_change_nothing(
    member: Member, elements: int, flags: Options, threads: Callable[[int], None]
) -> None:
    start = parameters(shapes=[(elements,), (7,)])
    grads = gradients(start, 2)
    ends = []
    for count in (1, 2, 3):
        threads(count)
        ends.append(bits_of(run(member, start, grads, **flags)[1]))
    assert same_bits(ends[0], ends[1])
    assert same_bits(ends[0], ends[2])


@pytest.mark.skipif(not COMPILED, reason="the kernel was not built")
@pytest.mark.parametrize("isa", native.ISAS)
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str
)
def test_instruction_sets_change_nothing(
    isa: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    if native.ISAS.index(isa) > native.isa():
        pytest.skip(f"this processor has no {isa}")
    start = parameters(dtype, [(n,) for n in range(34)])
    grads = gradients(start, 3)
    expected = [bits_of(run(member, start, grads)[1]) for member in KINDS]
    monkeypatch.setattr(native, "isa", lambda: native.ISAS.index(isa))
    found = [bits_of(run(member, start, grads, fused=True)[1]) for member in KINDS]
    assert same_bits(found, expected)
