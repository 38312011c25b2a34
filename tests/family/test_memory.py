"""Laws of the dial: how a running mean weighs the past."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mementum.family.memory
from mementum.family.memory import Average, Fixed, Memory, ratio_for_horizon

STEPS = (1, 2, 1_000, 887_272, 10**6, 7_098_183, 10**7, 10**9, 2**31, 2**53)
ULP = sys.float_info.epsilon
SMALLEST_NORMAL = sys.float_info.min

# Enough digits for 1 - beta_t to be right wherever it is above 1e-650.
DIGITS = 700


def adam_beta(beta2: mpmath.mpf, t: int) -> mpmath.mpf:
    """Adam's second moment over ``1 - beta2**t``, as the share kept of the last."""
    return beta2 * (1 - beta2 ** (t - 1)) / (1 - beta2**t)


def adamnc_beta(_: mpmath.mpf, t: int) -> mpmath.mpf:
    return 1 - mpmath.mpf(1) / t


def adax_beta(beta2: mpmath.mpf, t: int) -> mpmath.mpf:
    """AdaX's raw moment over ``(1 + beta2)**t - 1``, as the share kept of the last."""
    return (1 + beta2) * ((1 + beta2) ** (t - 1) - 1) / ((1 + beta2) ** t - 1)


def adamnx_beta(beta2: mpmath.mpf, t: int) -> mpmath.mpf:
    kept = 1 - beta2 ** ((1 - beta2) * (t - 1))
    return kept / (1 - beta2 ** ((1 - beta2) * t))


BetaAt = Callable[[mpmath.mpf, int], mpmath.mpf]

# The published default first, then far corners.
PUBLISHED: list[tuple[Memory, BetaAt, float]] = [
    *(
        (Memory.adam(beta2), adam_beta, beta2)
        for beta2 in (0.999, 0.9, 0.99, 0.999999, 1 - 2**-53, 0.5, 1e-8)
    ),
    (Memory.adamnc(), adamnc_beta, 0.0),
    *(
        (Memory.adax(beta2), adax_beta, beta2)
        for beta2 in (1e-4, 1e-2, 0.1, 0.9, 0.999999, 1e-8, 1e-15)
    ),
    *(
        (Memory.adamnx(beta2), adamnx_beta, beta2)
        for beta2 in (0.99, 0.9, 0.999, 0.999999, 0.5, 1e-8)
    ),
]
PUBLISHED_IDS = [f"{beta.__name__}-{beta2:g}" for _, beta, beta2 in PUBLISHED]

AVERAGES: dict[str, Average] = {
    "forgets everything": Memory.adam(0.0),
    "adam 0.9": Memory.adam(0.9),
    "adam 0.999": Memory.adam(0.999),
    "adamnc": Memory.adamnc(),
    "adax 0": Memory.adax(0.0),
    "adax 1e-4": Memory.adax(1e-4),
    "adax 0.4": Memory.adax(0.4),
    "adamnx 0.99": Memory.adamnx(0.99),
    "adamnx 0.5": Memory.adamnx(0.5),
    "ratio 1e6": Memory.from_ratio(1e6),
    "fixed 0": Fixed(0.0),
    "fixed 0.9": Fixed(0.9),
    "fixed 0.999999": Fixed(0.999999),
}
over_averages = pytest.mark.parametrize(
    "average", AVERAGES.values(), ids=AVERAGES.keys()
)


def exact_weight(beta_at: BetaAt, beta2: float, t: int) -> mpmath.mpf:
    """Return ``1 - beta_t`` of the paper, from the very float the user gives."""
    with mpmath.workdps(DIGITS):
        return 1 - beta_at(mpmath.mpf(beta2), t)


def relative_error(got: float, exact: mpmath.mpf) -> float:
    """Return the error relative to `exact`, or to the smallest normal if that is more.

    Below the smallest normal float (2.2e-308) a float has no relative precision left,
    so there the bound is absolute: 1e-12 of 2.2e-308, or one subnormal quantum.
    """
    with mpmath.workdps(DIGITS):
        error = abs(mpmath.mpf(got) - exact)
        if abs(exact) < SMALLEST_NORMAL:
            error = max(error - mpmath.mpf(2) ** -1074, mpmath.mpf(0))
        return float(error / max(abs(exact), mpmath.mpf(SMALLEST_NORMAL)))


# 1e-12: the exponent t * log_ratio is at most 708 where the weight is a normal float,
# and carries at most four roundings (two of the logarithm, one of each product), so
# that the weight is off by 4 * 708 * 2**-53 = 3.1e-13, and some ulps of expm1 and exp.
@pytest.mark.parametrize("t", STEPS)
@pytest.mark.parametrize(("memory", "beta_at", "beta2"), PUBLISHED, ids=PUBLISHED_IDS)
def test_weight_is_the_papers_at_every_step(
    memory: Memory, beta_at: BetaAt, beta2: float, t: int
) -> None:
    exact = exact_weight(beta_at, beta2, t)
    assert relative_error(memory.weight(t), exact) <= 1e-12


@pytest.mark.parametrize("beta2", [0.9, 0.999, 0.999999, 1 - 2**-53, 1e-8])
def test_mass_of_an_uncorrected_mean_is_exact(beta2: float) -> None:
    for t in STEPS:
        with mpmath.workdps(DIGITS):
            exact = 1 - mpmath.mpf(beta2) ** t
        # The condition of 1 - exp(-x) in x is at most 1: some roundings remain.
        assert relative_error(Fixed(beta2).mass(t), exact) <= 8 * ULP


def test_adamnx_weight_does_not_cancel() -> None:
    beta2, t = 0.999, 10**7
    exact = exact_weight(adamnx_beta, beta2, t)

    def power(k: int) -> float:
        return beta2 ** ((1 - beta2) * k)

    naive = 1 - (1 - power(t - 1)) / (1 - power(t))
    assert relative_error(naive, exact) > 1e-7
    assert relative_error(Memory.adamnx(beta2).weight(t), exact) <= 1e-12


@over_averages
def test_weight_is_a_share_and_never_grows(average: Average) -> None:
    weights = [average.weight(t) for t in sorted({*range(1, 100), *STEPS})]
    assert all(0.0 <= weight <= 1.0 for weight in weights)
    assert weights == sorted(weights, reverse=True)


@over_averages
def test_a_memory_begins_with_its_first_sample(average: Average) -> None:
    if isinstance(average, Memory):
        assert average.weight(1) == 1.0
    else:
        assert average.weight(1) == average.mass(1)


@over_averages
@pytest.mark.parametrize("t", [1, 2, 3, 10, 300])
def test_mass_is_what_the_weights_leave_of_zero(average: Average, t: int) -> None:
    missing = math.prod(1 - average.weight(i) for i in range(1, t + 1))
    # Each of the t factors is off by half an ulp of 1, and the products round t times.
    assert average.mass(t) == pytest.approx(1 - missing, rel=0, abs=2 * t * ULP)


@over_averages
@pytest.mark.parametrize("steps", [1, 2, 7, 300])
def test_profile_is_the_recursion_unrolled(average: Average, steps: int) -> None:
    weights = [average.weight(t) for t in range(1, steps + 1)]
    unrolled = [
        weights[k] * math.prod(1 - later for later in weights[k + 1 :])
        for k in range(steps)
    ]
    # As above; weights are at most 1, so the bound is absolute.
    assert average.profile(steps) == pytest.approx(unrolled, rel=0, abs=2 * steps * ULP)


@over_averages
@pytest.mark.parametrize("steps", [1, 2, 7, 300, 20_000])
def test_profile_sums_to_the_mass(average: Average, steps: int) -> None:
    total = math.fsum(average.profile(steps))
    # A share of age a is exp(-a L), off by a L ulp while a L weighs less than exp(a L).
    assert total == pytest.approx(average.mass(steps), rel=16 * ULP)


def test_profile_shows_what_is_remembered_best() -> None:
    adam = Memory.adam(0.99).profile(100)
    adax = Memory.adax(0.01).profile(100)
    assert adam == sorted(adam)
    assert adax == sorted(adax, reverse=True)
    assert len(set(Memory.adamnc().profile(100))) == 1


@over_averages
def test_every_namespace_gives_the_same_numbers(average: Average) -> None:
    for ask, t in itertools.product((average.weight, average.mass), STEPS):
        expected = ask(t)
        in_numpy = ask(np.float64(t), np)
        in_torch = ask(torch.tensor(float(t), dtype=torch.float64), torch)
        # Two expm1 and one exp, each right to an ulp or two in every library.
        assert float(in_numpy) == pytest.approx(expected, rel=8 * ULP, abs=1e-307)
        assert float(in_torch) == pytest.approx(expected, rel=8 * ULP, abs=1e-307)


@pytest.mark.parametrize(
    ("constructor", "beta2"),
    [
        (Memory.adam, 0.999),
        (Memory.adam, 0.0),
        (Memory.adax, 1e-4),
        (Memory.adax, 0.0),
        (Memory.adamnx, 0.99),
        (Memory.adamnx, 0.0),
        (Memory.from_ratio, 1.0),
        (Memory.from_ratio, 0.0),
        (Memory.from_ratio, 1.0001),
    ],
)
def test_a_traced_beta_gives_the_same_numbers(
    constructor: Callable[..., Memory], beta2: float
) -> None:
    plain = constructor(beta2)
    traced = constructor(torch.tensor(beta2, dtype=torch.float64), torch)
    for t in STEPS:
        got = traced.weight(torch.tensor(float(t), dtype=torch.float64), torch)
        # An ulp of the logarithm moves the weight by t * log_ratio ulp.
        rel = (8 + 2 * min(t * abs(plain.log_ratio), 750)) * ULP
        assert float(got) == pytest.approx(plain.weight(t), rel=rel, abs=1e-307)


def test_many_steps_at_once_are_the_steps_one_by_one() -> None:
    steps = np.array(STEPS, dtype=np.float64)
    memory = Memory.adax(1e-4)
    together = memory.weight(steps, np)
    one_by_one = [memory.weight(np.float64(t), np) for t in STEPS]
    np.testing.assert_allclose(together, one_by_one, rtol=8 * ULP, atol=1e-307)


@pytest.mark.parametrize("t", STEPS)
def test_limits_of_the_betas(t: int) -> None:
    assert Memory.adam(0.0).weight(t) == 1.0
    assert Memory.from_ratio(0.0).weight(t) == 1.0
    assert Memory.from_ratio(1.0).weight(t) == 1 / t
    assert Memory.adax(0.0).weight(t) == 1 / t
    # AdamNX at 0 keeps the first square for ever: its beta_2 is 1.
    assert Memory.adamnx(0.0).weight(t) == pytest.approx(float(t == 1), abs=1e-36)
    assert Fixed(0.0).weight(t) == Fixed(0.0).mass(t) == 1.0


def test_a_growing_memory_freezes_and_a_forgetting_one_settles() -> None:
    assert Memory.adax(1e-4).weight(10**9) == 0.0
    # At 2**53 the start is forgotten: what is left is 1 - beta2.
    assert Memory.adam(0.999).weight(2**53) == pytest.approx(0.001, rel=1e-13)


def test_named_ratios_are_one_dial() -> None:
    assert Memory.adam(0.999) == Memory.from_ratio(0.999)
    assert Memory.adamnc() == Memory.from_ratio(1)
    # 1 + 1e-4 rounds by up to 2**-53, which is 1.1e-12 of its logarithm.
    adax = Memory.from_ratio(1 + 1e-4).log_ratio
    assert adax == pytest.approx(Memory.adax(1e-4).log_ratio, rel=2e-12)
    adamnx = Memory.from_ratio(0.99 ** -(1 - 0.99)).log_ratio
    assert adamnx == pytest.approx(Memory.adamnx(0.99).log_ratio, rel=4e-12)


@pytest.mark.parametrize("steps", [1, 1_000, 70_000, 10**9])
@pytest.mark.parametrize("kappa", [7.0, 0.0, -3.0])
def test_a_horizon_keeps_the_shape_of_a_memory(steps: int, kappa: float) -> None:
    ratio = ratio_for_horizon(steps, kappa)
    # The ratio is off by an ulp or two, its logarithm by that and no more.
    assert math.log(ratio) == pytest.approx(kappa / steps, rel=2 * ULP, abs=2 * ULP)
    oldest_over_newest = ratio ** (steps - 1)
    drift = 4 * steps * ULP + 10 * ULP + abs(kappa) / steps
    assert math.log(oldest_over_newest) == pytest.approx(kappa, rel=0, abs=drift)


def test_the_published_growth_has_the_published_horizon() -> None:
    assert ratio_for_horizon(70_000) == pytest.approx(1 + 1e-4, abs=1e-8)
    assert ratio_for_horizon(1_000) == pytest.approx(1.007, abs=1e-4)


@pytest.mark.parametrize("steps", [0, -1, math.nan])
def test_a_horizon_without_steps_is_refused(steps: float) -> None:
    with pytest.raises(ValueError, match=rf"steps is {steps}"):
        ratio_for_horizon(steps)  # type: ignore[arg-type]


@pytest.mark.parametrize("kappa", [math.nan, math.inf, -math.inf])
def test_a_horizon_of_no_finite_kappa_is_refused(kappa: float) -> None:
    with pytest.raises(ValueError, match=rf"kappa is {kappa}"):
        ratio_for_horizon(1_000, kappa)


@pytest.mark.parametrize("log_ratio", [math.nan, math.inf, -math.inf])
def test_a_memory_of_no_finite_ratio_is_refused(log_ratio: float) -> None:
    with pytest.raises(ValueError, match=rf"log_ratio is {log_ratio}"):
        Memory(log_ratio)


@pytest.mark.parametrize("ratio", [math.nan, math.inf])
def test_a_ratio_that_is_not_finite_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=rf"ratio is {ratio}"):
        Memory.from_ratio(ratio)


def test_a_negative_ratio_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ratio is -1; a memory ratio is 0 or more"):
        Memory.from_ratio(-1)


@pytest.mark.parametrize(
    "memory", [Memory.adam(0.9), Memory.adamnc(), Memory.adax(0.1)]
)
@pytest.mark.parametrize("t", [0, -1])
def test_there_is_no_step_before_the_first(memory: Memory, t: int) -> None:
    with pytest.raises(ValueError, match=rf"t is {t}; the first step is 1"):
        memory.weight(t)


def test_a_memory_of_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match="log_ratio is 'x'"):
        Memory("x")
    with pytest.raises(ValueError, match="steps is 1000"):
        ratio_for_horizon("1000")  # type: ignore[arg-type]


def test_the_theory_imports_the_standard_library_alone() -> None:
    program = (
        "import sys; before = set(sys.modules); "
        "import mementum.family.recipes, mementum.family.explain; "
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(roots - set(sys.stdlib_module_names)))"
    )
    source = str(Path(mementum.family.memory.__file__).parents[2])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == ["mementum"]


@pytest.mark.parametrize("steps", [1, 2, 50, 3_000])
@pytest.mark.parametrize(
    "average",
    [
        Memory.adam(0.999),
        Memory.adam(0.0),
        Memory.adamnc(),
        Memory.adax(1e-4),
        Memory.adamnx(0.99),
        Fixed(0.9),
        Fixed(0.0),
        Memory(1e-9),
    ],
    ids=str,
)
def test_the_length_counts_the_weights(average: Average, steps: int) -> None:
    weights = average.profile(steps)
    counted = math.fsum(weights) ** 2 / math.fsum(w * w for w in weights)
    assert average.length(steps) == pytest.approx(counted, rel=1e-10)


def test_a_growing_memory_stops_growing() -> None:
    assert Memory.adax(1e-4).length(10**9) == pytest.approx(20_000, rel=1e-3)
    assert Memory.adamnc().length(10**9) == 10**9


@given(exponent=st.floats(-30, 2))
def test_adamnx_gets_the_beta_nearest_to_its_log_ratio(exponent: float) -> None:
    log_ratio = 10**exponent
    beta = mementum.family.memory.adamnx_beta(log_ratio)
    below, above = (math.nextafter(beta, end) for end in (0.0, 1.0))
    with mpmath.workdps(60):

        def log_ratio_of(number: mpmath.mpf) -> mpmath.mpf:
            return -(1 - number) * mpmath.log(number)

        # The log ratio falls as beta grows: halfway to its neighbours lie the limits.
        assert log_ratio_of((mpmath.mpf(below) + beta) / 2) >= log_ratio
        assert log_ratio_of((mpmath.mpf(above) + beta) / 2) <= log_ratio


@pytest.mark.parametrize("beta", [0.01, 0.5, 0.9, 0.99, 0.999, 0.999999])
def test_adamnx_gets_the_beta_that_it_is_published_with(beta: float) -> None:
    log_ratio = Memory.adamnx(beta).log_ratio
    # A relative error of ULP in the log ratio is less than one in beta, or in its gap.
    solved = mementum.family.memory.adamnx_beta(log_ratio)
    assert solved == pytest.approx(beta, rel=2 * ULP)


@pytest.mark.parametrize("log_ratio", [0.0, -1.0, math.inf, math.nan])
def test_adamnx_has_no_beta_for_a_memory_that_does_not_grow(log_ratio: float) -> None:
    with pytest.raises(ValueError, match=f"log_ratio is {log_ratio}"):
        mementum.family.memory.adamnx_beta(log_ratio)


@pytest.mark.parametrize("log_ratio", [5e-324, 1e-300, 1e-33])
def test_a_memory_too_long_for_a_beta_below_1_gets_1(log_ratio: float) -> None:
    assert mementum.family.memory.adamnx_beta(log_ratio) == 1
