"""Every optimizer, on every path and in every dtype, is the float64 reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.torch import rounding
from tests.torch.cases import (
    COMPUTED,
    EAGER,
    PATHS,
    Member,
    Options,
    follow,
    give,
    gradients,
    kinds,
    members,
    numbers_of,
    parameters,
    paths,
    run,
    settings,
    twins,
    with_gaps,
)
from tests.torch.rounding import ROUNDOFF, Units

from mementum.family.reference import State

STEPS = 100


@settings
@paths(EAGER)
def test_a_float64_run_is_the_reference_bit_for_bit(
    member: Member, options: Options, flags: Options
) -> None:
    # Both round each operation once, in the same order: there is no tolerance.
    start = parameters(torch.float64)
    grads = with_gaps(gradients(start, STEPS))
    options = options | {"maximize": bool(flags.get("foreach"))}
    params, optimizer = run(member, start, grads, **options, **flags)
    for i, param in enumerate(params):
        expected = follow(member, start[i], [step[i] for step in grads], **options)
        found = rounding.state_of(optimizer, param)
        for name, a, b in zip(State._fields, found, expected, strict=True):
            assert np.array_equal(a, b), f"parameter {i}: {name}"


@settings
@pytest.mark.parametrize("foreach", [False, True], ids=["loop", "foreach"])
def test_numbers_computed_by_torch_are_the_references_to_a_few_roundings(
    member: Member, options: Options, foreach: bool
) -> None:
    # torch's expm1, exp, log and sqrt err by up to 4 roundings each, and a number takes
    # up to six of them and divisions. Differences of weights near 1 do not occur.
    units = Units.of(torch.float64)._replace(numbers=24 * ROUNDOFF[torch.float64])
    (start,) = parameters(torch.float64, [(40,)])
    grads = gradients([start], STEPS)
    flags = {"capturable": True, "foreach": foreach}
    (param,), optimizer = run(member, [start], grads, **options, **flags)
    own = [step[0] for step in grads]
    expected, errors = rounding.follow(member, start, own, units, **options)
    rounding.assert_within(rounding.state_of(optimizer, param), expected, errors)


@settings
def test_a_float32_run_stays_within_the_roundings_of_its_operations(
    member: Member, options: Options
) -> None:
    (start,) = parameters(torch.float32, [(40,)])
    grads = gradients([start], STEPS)
    (param,), optimizer = run(member, [start], grads, **options)
    own = [step[0] for step in grads]
    expected, errors = rounding.follow(member, start, own, **options)
    rounding.assert_within(rounding.state_of(optimizer, param), expected, errors)


@settings
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str
)
@pytest.mark.parametrize(
    "flags", [PATHS["default"], PATHS["capturable loop"]], ids=["default", "capturable"]
)
def test_each_step_alone_is_the_references_to_the_roundings_of_one_step(
    member: Member, options: Options, dtype: torch.dtype, flags: Options
) -> None:
    # The reference starts each step where the optimizer stands. A parameter of 16 bits
    # is rounded once, on top of a float32 step.
    (param,) = parameters(dtype, [(40,)])
    options = options | {"lr": 0.05}
    optimizer = member([param], **options, **flags)
    state = State.start(param.detach().double().numpy())
    for t, step in enumerate(gradients([param], 40), start=1):
        give([param], step)
        optimizer.step()
        c, peak = numbers_of(member, t, **options)
        g, none = step[0].double().numpy(), rounding.exactly(state)
        expected, errors = rounding.errors_after(
            c, g, state, none, Units.of(dtype), peak=peak
        )
        state = rounding.state_of(optimizer, param)
        rounding.assert_within(state, expected, errors)


@members
def test_one_float32_step_is_right_to_two_ulps(member: Member) -> None:
    # With the parameter far from zero and a step no larger than it, the step's own
    # error (some ten roundings of a number 10 times smaller) is below one ulp of the
    # parameter, and the last subtraction rounds by half an ulp.
    (start,) = parameters(torch.float32, [(500,)])
    with torch.no_grad():
        start.copy_(1 + start.abs())
    grads = [step[0] for step in gradients([start], 1)]
    (param,), _ = run(member, [start], [grads], lr=0.01)
    expected = follow(member, start, grads, lr=0.01).p
    ulps = abs(param.detach().double().numpy() - expected)
    assert np.all(ulps <= 2 * np.spacing(abs(expected).astype(np.float32)))


@kinds
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_moments_of_short_parameters_are_float32(
    member: Member, dtype: torch.dtype
) -> None:
    params, optimizer = run(member, start := parameters(dtype), gradients(start, 3))
    for param in params:
        kept: dict[str, Any] = optimizer.state[param]
        assert kept["momentum"].dtype == kept["square"].dtype == torch.float32
        assert kept["step"] == 3


@members
@paths(COMPUTED)
def test_a_loss_falls_and_maximize_makes_it_rise(
    member: Member, flags: Options
) -> None:
    target = torch.linspace(-1, 1, 12).reshape(3, 4)
    for maximize in (False, True):
        (param,) = twins(parameters(shapes=[(3, 4)]))
        optimizer = member([param], lr=1e-2, maximize=maximize, **flags)
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = ((param - target) ** 2).sum()
            loss.backward()
            losses.append(float(loss.detach()))
            optimizer.step()
        assert (losses[-1] > losses[0]) == maximize
