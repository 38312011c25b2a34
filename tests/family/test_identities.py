"""What the published optimizers are to each other, and the figures they must reach."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.gradients import heavy_tailed

from mementum.family.memory import Fixed, Memory
from mementum.family.recipes import RECIPES
from mementum.family.reference import trajectory
from mementum.family.rule import Rule

Array = NDArray[np.float64]

ULP = np.finfo(np.float64).eps
STEPS, ELEMENTS = 400, 60
GRADIENTS = heavy_tailed(STEPS, ELEMENTS, seed=9)
START = np.random.default_rng(10).normal(size=ELEMENTS)


def rule(name: str, **hyperparameters: Any) -> Rule:
    return RECIPES[name].rule(hyperparameters)


def path(rule: Rule, lr: float = 1e-3) -> Array:
    return np.array([s.p for s in trajectory(rule, lr, START, GRADIENTS)])


def distance(one: Array, other: Array) -> float:
    """Return the largest difference, relative to how far that element has moved."""
    moved = np.abs(one - START).max(axis=0)
    return float((np.abs(one - other).max(axis=0) / moved).max())


# The dial: each published optimizer as a call of the general one.
#
# A ratio that is written as a float near 1 has lost up to 2**-53 of its 1e-4, so its
# weights are off by 1e-12, and 400 steps of that are 4e-10 at most.
AS_MEMENTUM: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Adam", {}, {"memory": 0.999, "decoupled_weight_decay": False}),
    ("AdamW", {}, {"memory": 0.999, "weight_decay": 1e-2}),
    ("AMSGrad", {"variant": "optax"}, {"memory": 0.999, "peak": True}),
    ("AdamNC", {}, {"memory": 1.0, "debias_momentum": False}),
    (
        "AdaX",
        {},
        {
            "memory": 1 + 1e-4,
            "debias_momentum": False,
            "eps": 1e-12,
            "weight_decay": 5e-4,
            "decoupled_weight_decay": False,
        },
    ),
    (
        "AdaXW",
        {},
        {
            "memory": 1 + 1e-4,
            "debias_momentum": False,
            "eps": 1e-12,
            "weight_decay": 5e-2,
        },
    ),
    ("AdamNX", {}, {"memory": 0.99 ** -(1 - 0.99), "weight_decay": 1e-2}),
    (
        "AdaMomentum",
        {"eps": 0.0},
        {"memory": 0.999, "square_of": "momentum", "eps": 0.0},
    ),
]


@pytest.mark.parametrize(
    ("name", "hyperparameters", "call"), AS_MEMENTUM, ids=[x[0] for x in AS_MEMENTUM]
)
def test_a_published_optimizer_is_a_call_of_the_general_one(
    name: str, hyperparameters: dict[str, Any], call: dict[str, Any]
) -> None:
    published = rule(name, **hyperparameters)
    general = rule("Mementum", **call)
    assert distance(path(published), path(general)) <= 1e-9


def test_every_recipe_has_a_call_of_the_general_one() -> None:
    assert {name for name, _, _ in AS_MEMENTUM} == set(RECIPES) - {"Mementum"}


@pytest.mark.parametrize("beta2", [0.0, 0.5, 0.95, 0.999])
def test_adam_is_the_growing_rule_at_the_ratio_beta2(beta2: float) -> None:
    adam = rule("Adam", betas=(0.9, beta2))
    general = rule("Mementum", memory=beta2, decoupled_weight_decay=False)
    for t in (1, 2, 10, 10**7):
        assert adam.at(t, 1e-3) == general.at(t, 1e-3)


@pytest.mark.parametrize("beta2", [0.9, 0.95, 0.98, 0.99, 0.995])
def test_adamnx_is_adax_with_a_debiased_momentum(beta2: float) -> None:
    as_adax = beta2 ** -(1 - beta2) - 1
    adamnx = rule("AdamNX", betas=(0.9, beta2))
    adax = rule(
        "AdaX",
        betas=(0.9, as_adax),
        eps=1e-8,
        weight_decay=1e-2,
        decoupled_weight_decay=True,
    )
    # The subtraction leaves as_adax an error of 2**-53, here at least 2.5e-5: 4.4e-12
    # of each weight, and 400 steps of that are 2e-9 at most.
    debiased = replace(adax, debias_momentum=True)
    assert distance(path(adamnx), path(debiased)) <= 2e-9
    assert distance(path(adamnx), path(adax)) > 1e-2


EQUIVALENTS = [
    (0.9, 1.06e-2),
    (0.95, 2.57e-3),
    (0.98, 4.04e-4),
    (0.99, 1.005e-4),
    (0.995, 2.51e-5),
    (0.999, 1.0005e-6),
]


@pytest.mark.parametrize(("adamnx", "adax"), EQUIVALENTS)
def test_adamnx_betas_have_their_adax_equivalents(adamnx: float, adax: float) -> None:
    growth = math.expm1(Memory.adamnx(adamnx).log_ratio)
    # The figures are given to three digits at least.
    assert growth == pytest.approx(adax, rel=2e-3)


def test_adamnx_and_adax_have_nearly_the_same_default_memory() -> None:
    squares = heavy_tailed(3_000, 20, seed=11) ** 2
    one = np.array(Memory.adamnx(0.99).profile(3_000)) @ squares
    other = np.array(Memory.adax(1e-4).profile(3_000)) @ squares
    # The ratio of two shares is exp(age * 5.08e-7) up to a factor: at most 1.0015.
    np.testing.assert_allclose(one, other, rtol=1.6e-3)


def test_adax_without_growth_is_adamnc() -> None:
    settings = {"eps": 1e-8, "weight_decay": 0.0}
    adamnc = path(rule("AdamNC", **settings))
    np.testing.assert_array_equal(
        path(rule("AdaX", betas=(0.9, 0.0), **settings)), adamnc
    )
    # A growth of b moves a weight by at most t b / 2: 2e-7 at 1e-9 over 400 steps.
    nearly = path(rule("AdaX", betas=(0.9, 1e-9), **settings))
    assert 1e-12 < distance(nearly, adamnc) <= 2e-7


# AdaMomentum.


@pytest.mark.parametrize("eps", [1e-16, 1e-8])
@pytest.mark.parametrize("beta2", [0.9, 0.999])
def test_adamomentum_has_the_same_floor_at_every_step(beta2: float, eps: float) -> None:
    resting = trajectory(
        rule("AdaMomentum", betas=(0.9, beta2), eps=eps), 1e-3, [1.0], [[0.0]] * 3_000
    )
    floors = np.array([state.v.item() for state in resting])
    # A mean of equal samples moves by an ulp now and then.
    np.testing.assert_allclose(floors, eps / (1 - beta2), rtol=1e-13)


def test_adamomentums_eps_is_under_the_root() -> None:
    published = rule("AdaMomentum", eps=1e-8)
    beneath = replace(published, eps_in=0.0, eps_root=1e-8 / (1 - 0.999))
    assert distance(path(published), path(beneath)) <= STEPS * 16 * ULP


def test_adamomentums_first_step_is_lr_over_one_minus_beta1() -> None:
    for beta1 in (0.5, 0.9, 0.99):
        momentum = rule("AdaMomentum", betas=(beta1, 0.999), eps=0.0)
        step = START - path(momentum)[0]
        expected = np.sign(GRADIENTS[0]) * 1e-3 / (1 - beta1)
        # Subtracting points adds the ulp of a point, at most 4.
        np.testing.assert_allclose(step, expected, rtol=1e-14, atol=4 * ULP)


def test_adamomentum_warms_down_on_a_constant_gradient() -> None:
    steps_over_lr = {1: 10, 2: 6.59, 5: 3.51, 10: 2.22, 100: 1.073, 1_000: 1.004}
    states = trajectory(
        rule("AdaMomentum", eps=0.0), 1.0, [0.0], [[0.37]] * max(steps_over_lr)
    )
    points = [0.0, *(state.p.item() for state in states)]
    for t, expected in steps_over_lr.items():
        # The figures are given to three digits, the last two to four.
        digits = 5e-4 if t >= 100 else 5e-3
        assert points[t - 1] - points[t] == pytest.approx(expected, abs=digits)


def test_adamomentum_steps_the_root_of_nineteen_times_adam_on_noise() -> None:
    """A mean of noise has the variance ``(1 - beta1) / (1 + beta1)``, here 1/19."""
    steps, beta1 = 1_500, 0.9
    noise = np.random.default_rng(12).normal(size=(steps, 2_000))
    squares = {}
    for name in ("Adam", "AdaMomentum"):
        *_, last = trajectory(rule(name, eps=0.0), 1e-3, np.zeros(2_000), noise)
        squares[name] = last.v.mean()
    ages = np.arange(1, steps + 1)
    risen = 1 - beta1 ** (2 * ages)
    ratio = 19 / (np.array(Memory.adam(0.999).profile(steps)) @ risen)
    # The mean of 2,000 squares of momenta has a standard error of 0.3 %: a momentum's
    # squares are correlated at 0.81, so that a mean over some 1,300 of them has the
    # variance 2 * 9.5 / 1,300. Four of these errors.
    assert squares["Adam"] / squares["AdaMomentum"] == pytest.approx(ratio, rel=0.012)
    assert math.sqrt(ratio) == pytest.approx(4.36, abs=0.02)


def test_adamomentum_on_an_alternating_gradient_ends_with_steps_of_lr() -> None:
    """Adam's steps end 19 times smaller."""
    alternating = [[(-1.0) ** t] for t in range(2_000)]
    for name, expected in (("AdaMomentum", 1.0), ("Adam", 1 / 19)):
        forgetting = rule(name, betas=(0.9, 0.99), eps=0.0)
        states = list(trajectory(forgetting, 1.0, [0.0], alternating))
        step = abs(states[-1].p - states[-2].p).item()
        # What is left of the start after 2,000 steps is 0.99**2000 = 2e-9.
        assert step == pytest.approx(expected, rel=1e-8)


# AdaX.


def test_adax_gains_from_one_impulse_what_is_published() -> None:
    impulse = [[3.0]] + [[0.0]] * 399
    adax = rule("AdaX", eps=0.0, weight_decay=0.0)
    *_, last = trajectory(adax, 1.0, [0.0], impulse)
    # What 400 steps leave out is 100 * 0.9**400 = 5e-17.
    assert -last.p.item() == pytest.approx(2.855543514903, abs=1e-11)


@pytest.mark.parametrize("growth", [1e-3, 1e-2, 0.1])
def test_adaxs_steps_after_an_impulse_are_bounded(growth: float) -> None:
    """A frozen share of the first square divides by ``sqrt(b / (1 + b))`` at least."""
    limit = math.sqrt((1 + growth) / growth)
    share = Memory.adax(growth).profile(int(40 / growth))[0]
    # After 40 / b steps the share differs from its limit by exp(-40).
    assert math.sqrt(1 / share) == pytest.approx(limit, rel=1e-12)


def test_adaxs_gain_rises_to_its_limit_with_the_momentum() -> None:
    growth = 0.1
    limit = math.sqrt((1 + growth) / growth)
    last = 0.0
    for beta1 in (0.5, 0.9, 0.99):
        impulse = [[1.0]] + [[0.0]] * int(30 / (1 - beta1))
        adax = rule("AdaX", betas=(beta1, growth), eps=0.0, weight_decay=0.0)
        *_, end = trajectory(adax, 1.0, [0.0], impulse)
        gain = -end.p.item()
        # sqrt(1 - x) >= 1 - x, summed over the geometric momentum, bounds it below.
        assert limit * growth / (1 + growth - beta1) <= gain < limit
        assert gain > last
        last = gain


# The weight of a square.

TABLE = {
    1: (1, 1, 1, 1),
    2: (5.0025e-1, 4.9998e-1, 4.9997e-1, 5.0e-1),
    10: (1.0045e-1, 9.9955e-2, 9.9955e-2, 1.0e-1),
    100: (1.0503e-2, 9.9506e-3, 9.9503e-3, 1.0e-2),
    1_000: (1.5815e-3, 9.5088e-4, 9.5064e-4, 1.0e-3),
    10_000: (1.0000e-3, 5.8202e-5, 5.8030e-5, 1.0e-4),
    100_000: (1.0000e-3, 4.5425e-9, 4.3393e-9, 1.0e-5),
}


@pytest.mark.parametrize("t", TABLE)
def test_the_weights_are_the_tabled(t: int) -> None:
    memories = [rule(name).square for name in ("Adam", "AdaX", "AdamNX", "AdamNC")]
    weights = [memory.weight(t) for memory in memories]
    # Five digits are given; Adam's at 1e4 has 4.5e-5 of the start left.
    assert weights == pytest.approx(TABLE[t], rel=6e-5)


def test_late_weights_are_the_tabled() -> None:
    assert rule("AdaX").square.weight(500_000) == pytest.approx(1.9e-26, rel=0.03)
    assert rule("AdamNX").square.weight(500_000) == pytest.approx(1.5e-26, rel=0.03)


def all_steps() -> Array:
    powers = 2.0 ** np.arange(17, 54)
    return np.concatenate([np.arange(1.0, 100_001.0), powers])


@pytest.mark.parametrize("name", ["AdamNC", "AdaX", "AdaXW", "AdamNX"])
def test_long_memories_meet_reddis_condition(name: str) -> None:
    """No square weighs more than its share among t."""
    t = all_steps()
    weight = rule(name).square.weight(t, np)
    assert (weight <= (1 + 4 * ULP) / t).all()


@pytest.mark.parametrize("beta2", [0.9, 0.99, 0.999])
def test_adam_violates_reddis_condition_from_the_second_step(beta2: float) -> None:
    t = all_steps()
    weight = rule("Adam", betas=(0.9, beta2)).square.weight(t, np)
    assert weight[0] == 1.0
    assert (weight[1:] > 1 / t[1:]).all()


def test_a_spike_is_not_normalised_away_late_in_adax() -> None:
    """A sample is at most ``1 / sqrt(weight)`` roots of the mean that holds it."""
    assert rule("Adam").square.weight(10**6) ** -0.5 == pytest.approx(31.6, abs=0.1)
    for t, bound in ((10_000, 131), (20_000, 253), (100_000, 14_837)):
        assert rule("AdaX").square.weight(t) ** -0.5 == pytest.approx(bound, rel=5e-3)


# AMSGrad.

DIVISORS = {
    "paper": (0.316, 0.316, 0.316, 0.316, 0.316),
    "torch": (10, 3.17, 1.02, 0.398, 0.324),
    "optax": (10, 10, 10, 10, 10),
}


@pytest.mark.parametrize("variant", DIVISORS)
def test_amsgrads_divisors_after_one_large_gradient(variant: str) -> None:
    """Without a momentum the step is the gradient over the divisor."""
    gradients = [[10.0]] + [[0.1]] * 2_999
    amsgrad = rule("AMSGrad", betas=(0.0, 0.999), eps=0.0, variant=variant)
    points = [0.0, *(s.p.item() for s in trajectory(amsgrad, 1.0, [0.0], gradients))]
    divisors = [
        gradients[t - 1][0] / (points[t - 1] - points[t])
        for t in (1, 10, 100, 1_000, 3_000)
    ]
    assert [float(f"{d:.3g}") for d in divisors] == list(DIVISORS[variant])


@pytest.mark.parametrize("variant", ["paper", "optax"])
def test_amsgrads_divisor_never_falls_but_torchs_does(variant: str) -> None:
    def divisors(variant: str) -> Array:
        amsgrad = rule("AMSGrad", betas=(0.0, 0.999), eps=0.0, variant=variant)
        points = np.vstack([START, path(amsgrad, lr=1e3)])
        return GRADIENTS / (points[:-1] - points[1:])

    slack = 1e-9
    assert (np.diff(divisors(variant), axis=0) >= -slack * GRADIENTS.max()).all()
    assert (np.diff(divisors("torch"), axis=0) < 0).any()


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("t", [1, 2, 100, 10**6])
def test_correcting_a_fixed_average_is_the_memory_of_its_share(
    beta: float, t: int
) -> None:
    """Bias correction is this weight, and no separate idea."""
    fixed, memory = Fixed(beta), Memory.adam(beta)
    corrected = fixed.weight(t) / fixed.mass(t)
    assert memory.weight(t) == pytest.approx(corrected, rel=8 * ULP)
