"""The numbers of telemetry are those of the state, by their definitions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    EAGER,
    Member,
    Options,
    bits_of,
    drive,
    gradients,
    kinds,
    members,
    parameters,
    paths,
    run,
    same_bits,
    settings,
    twins,
)
from torch import Tensor

from mementum.torch import AdamNC, AdaX, Mementum
from mementum.torch.state import State

LARGE = [(64, 64), (5,)]
STORED: dict[str, Options] = {
    "float32": {},
    "bfloat16": {"state_dtype": torch.bfloat16},
    "float8": {"state_dtype": "float8"},
}
stored = pytest.mark.parametrize("flags", STORED.values(), ids=STORED.keys())


def rms(tensors: list[Tensor]) -> float:
    every = torch.cat([tensor.double().flatten() for tensor in tensors])
    return float(every.square().mean().sqrt())


@settings
def test_the_update_is_what_the_last_step_added(
    member: Member, options: Options
) -> None:
    # Without a decay of its own a step adds the update, and nothing else.
    if options.get(
        "decoupled_weight_decay", member.recipe.defaults.get("decoupled_weight_decay")
    ):
        options = options | {"weight_decay": 0.0}
    start = parameters(torch.float64, [(6,), (3, 4)])
    grads = gradients(start, 5)
    params, optimizer = run(member, start, grads[:4], **options)
    before = twins(params)
    drive(optimizer, params, grads[4:])
    added = [(p - q).detach() for p, q in zip(params, before, strict=True)]
    found = optimizer.telemetry().overall
    # A difference of parameters near 1 is off by 2**-53, and the update is above 1e-6.
    assert found.rms_update == pytest.approx(rms(added), rel=1e-9)
    weights = [p.detach() for p in params]
    assert found.rms_weight == pytest.approx(rms(weights), rel=1e-14)
    assert found.update_to_weight == found.rms_update / found.rms_weight
    assert (found.coordinates, found.steps) == (18, 5)


@kinds
@stored
def test_it_reads_every_format_alike(member: Member, flags: Options) -> None:
    start = parameters(shapes=LARGE)
    grads = gradients(start, 6)
    _, exact = run(member, start, grads)
    _, optimizer = run(member, start, grads, **flags)
    found, expected = optimizer.telemetry().overall, exact.telemetry().overall
    assert found.memory_steps == expected.memory_steps
    # Three bits of mantissa round by up to 1/8 a moment, over six steps without bias.
    assert found.rms_update == pytest.approx(expected.rms_update, rel=0.05)
    assert found.rms_weight == pytest.approx(expected.rms_weight, rel=0.01)


@kinds
@paths(EAGER)
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.complex128], ids=str
)
def test_reading_changes_nothing(
    member: Member, flags: Options, dtype: torch.dtype
) -> None:
    start = parameters(dtype)
    _, optimizer = run(member, start, gradients(start, 3), **flags)
    before = bits_of(optimizer)
    optimizer.telemetry()
    assert same_bits(bits_of(optimizer), before)


@members
def test_memory_is_the_weights_own_count(member: Member) -> None:
    start = parameters(shapes=[(3,)])
    _, optimizer = run(member, start, gradients(start, 40))
    group = optimizer.param_groups[0]
    rule = member.recipe.rule({name: group[name] for name in member.recipe.defaults})
    weights = rule.square.profile(40)
    expected = math.fsum(weights) ** 2 / math.fsum(w * w for w in weights)
    found = optimizer.telemetry().overall.memory_steps
    assert found == pytest.approx(expected, rel=1e-9)


def test_groups_are_read_apart_and_added_up() -> None:
    first, second = parameters(shapes=[(10,), (30,)])
    optimizer = Mementum(
        [{"params": [first], "memory": 0.5}, {"params": [second], "memory": 1.0}]
    )
    drive(optimizer, [first, second], gradients([first, second], 60))
    found = optimizer.telemetry()
    short, long = found.groups
    assert short.memory_steps == pytest.approx(3.0)
    assert long.memory_steps == pytest.approx(60.0)
    assert found.overall.memory_steps == pytest.approx((10 * 3 + 30 * 60) / 40)
    mean = (10 * short.rms_update**2 + 30 * long.rms_update**2) / 40
    assert found.overall.rms_update == pytest.approx(math.sqrt(mean))
    assert found.overall.coordinates == 40


@kinds
def test_before_the_first_step_there_is_nothing_to_read(member: Member) -> None:
    optimizer = member(parameters())
    found = optimizer.telemetry()
    assert found.overall.coordinates == found.overall.steps == 0
    assert math.isnan(found.overall.update_to_weight)
    assert "skipped steps: 0" in str(found)


def at_step(optimizer: Any, step: int) -> None:
    state: State = optimizer.state
    for kept in state.values():
        kept["step"] = step


def moved(member: Member, step: int, flags: Options) -> tuple[float, float]:
    """Return how many squares rest, and how many only noise moves, at a step."""
    (start,) = parameters(shapes=[(64, 64)])
    params, optimizer = run(member, [start], gradients([start], 3), **flags)
    at_step(optimizer, step)
    found = optimizer.telemetry().overall
    assert params
    return found.unmoved, found.noise_moved


@pytest.mark.parametrize("member", [AdaX, AdamNC], ids=lambda m: m.__name__)
def test_squares_rest_when_their_format_says_so(member: Member) -> None:
    # Half a unit in the last place of a float32 is 2**-25 to 2**-24 of a number; the
    # mean of all squares gives the newest 1/t, and AdaX less after 7,000 steps.
    for flags in STORED.values():
        assert moved(member, 1_000, flags)[0] == 0
        assert moved(member, 10**9, flags)[0] == 1
    assert moved(member, 100, STORED["float32"]) == (0, 0)
    # bfloat16 has 8 bits, and float8 four: below half of one, only noise moves them.
    assert moved(member, 100, STORED["bfloat16"])[1] == 0
    assert moved(member, 2_000, STORED["bfloat16"]) == (0, 1)
    assert moved(member, 2_000, STORED["float8"])[1] > 0.9
    assert moved(member, 2_000, STORED["float32"])[1] == 0


@pytest.mark.parametrize("member", [AdaX, AdamNC], ids=lambda m: m.__name__)
def test_the_share_at_rest_is_what_a_step_leaves_alone(member: Member) -> None:
    # The kernel is asked itself: samples of zero, at a step where some squares rest.
    (start,) = parameters(shapes=[(64, 64)])
    options = {"weight_decay": 0.0}
    params, optimizer = run(member, [start], gradients([start], 3), **options)
    steps = {AdaX: 77_700, AdamNC: 3 * 2**23}
    at_step(optimizer, steps[member])
    expected = optimizer.telemetry().overall.unmoved
    square = optimizer.state[params[0]]["square"]
    before = square.clone()
    drive(optimizer, params, [[torch.zeros(64, 64)]])
    rested = float((square == before).double().mean())
    assert 0.05 < expected < 0.95
    # A sample of twice the square may move one that zero does not: the spacing of
    # floats differs on the two sides of a power of two alone.
    assert rested == pytest.approx(expected, abs=2 / 4096)


@kinds
def test_complex_parameters_count_both_parts(member: Member) -> None:
    start = parameters(torch.complex64, [(7,)])
    _, optimizer = run(member, start, gradients(start, 3))
    found = optimizer.telemetry().overall
    assert found.coordinates == 14
    assert found.rms_update > 0


@kinds
def test_counts_and_norm_are_the_optimizers(member: Member) -> None:
    start = parameters(shapes=[(3,)])
    grads = gradients(start, 3)
    bad = [torch.full((3,), float("nan"))]
    options = {"clip_norm": 1e-3, "nonfinite": "skip"}
    _, optimizer = run(member, start, [bad, *grads], **options)
    found = optimizer.telemetry()
    assert (found.skipped_steps, found.clipped_steps) == (1, 3)
    assert found.gradient_norm == pytest.approx(float(grads[-1][0].norm()), rel=1e-6)
    _, free = run(member, start, grads)
    assert free.telemetry().gradient_norm is None


@kinds
def test_it_is_a_table_for_people_and_flat_for_loggers(member: Member) -> None:
    start = parameters(shapes=[(3,)])
    _, optimizer = run(member, start, gradients(start, 3), clip_norm=1.0)
    found = optimizer.telemetry()
    flat = found.flat()
    assert flat["overall/rms_update"] == flat["group0/rms_update"]
    assert {type(value) for value in flat.values()} <= {int, float}
    assert {"skipped_steps", "clipped_steps", "gradient_norm"} <= set(flat)
    assert {"overall", "group"} <= set(str(found).split())
    assert "memory_steps" in str(found)
