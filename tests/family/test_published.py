"""Every recipe is its paper's rule, step by step."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.gradients import heavy_tailed
from tests.published import TRANSCRIPTIONS
from tests.published.adax import adax_as_released

from mementum.family.recipes import RECIPES, Recipe
from mementum.family.reference import State, trajectory, update

Array = NDArray[np.float64]

STEPS, ELEMENTS = 400, 60
GRADIENTS = heavy_tailed(STEPS, ELEMENTS, seed=20200419)
START = np.random.default_rng(7).normal(size=ELEMENTS)

# The authors' defaults are the first setting of each; these are the others. An eps as
# large as many of the gradients shows where it is added.
OTHERS: dict[str, list[dict[str, Any]]] = {
    "Adam": [{"betas": (0.5, 0.95), "eps": 1e-3}],
    "AdamW": [{"betas": (0.5, 0.95), "eps": 1e-3}],
    "AMSGrad": [
        {"betas": betas, "eps": eps, "variant": variant}
        for variant in ("paper", "torch", "optax")
        for betas, eps in (((0.9, 0.999), 0.0), ((0.5, 0.95), 1e-3))
    ],
    "AdamNC": [{"momentum": 0.5, "eps": 1e-3}, {"eps": 0.0}],
    "AdaX": [{"betas": (0.5, 1e-2), "eps": 1e-3}, {"eps": 0.0}],
    "AdaXW": [{"betas": (0.5, 1e-2), "eps": 1e-3}],
    "AdamNX": [{"betas": (0.5, 0.9), "eps": 1e-3}],
    "AdaMomentum": [{"betas": (0.5, 0.95), "eps": 1e-6}],
    "Mementum": [
        {"memory": 0.95, "momentum": 0.5, "eps": 1e-3},
        {"memory": 1.0, "debias_momentum": False},
        {"square_of": "momentum"},
        {"square_of": "residual"},
        {"peak": True},
    ],
}
DECAYS: dict[str, dict[str, Any]] = {
    "as given": {},
    "no decay": {"weight_decay": 0.0},
    "coupled": {"weight_decay": 0.1, "decoupled_weight_decay": False},
    "decoupled": {"weight_decay": 0.1, "decoupled_weight_decay": True},
}


def settings() -> list[Any]:
    """Return every recipe at its defaults and at its other settings."""
    return [
        pytest.param(recipe, setting, id=f"{name}-{number}")
        for name, recipe in RECIPES.items()
        for number, setting in enumerate([{}, *OTHERS.get(name, [])])
    ]


def run(recipe: Recipe, hyperparameters: dict[str, Any]) -> Array:
    rule = recipe.rule(hyperparameters)
    states = trajectory(rule, recipe.lr, START, GRADIENTS)
    return np.array([state.p for state in states])


def distance(ours: Array, theirs: Array) -> float:
    """Return the largest difference, relative to how far that element has moved.

    The scale of an element is the largest displacement from the start that its
    published trajectory reaches.
    """
    moved = np.abs(theirs - START).max(axis=0)
    return float((np.abs(ours - theirs).max(axis=0) / moved).max())


def test_every_recipe_has_a_transcription_and_other_settings() -> None:
    assert set(TRANSCRIPTIONS) == set(RECIPES)
    assert set(OTHERS) == set(RECIPES)


# 1e-9: the published forms subtract numbers as near as 1 and 1.0001, which costs them
# 2**-53 / 1e-4 = 1e-12 of each weight, with either sign. 400 steps of that, all of one
# sign, are 4e-10. A rule that differs at all, be it by an eps of 1e-8 in gradients of
# 1e-4, differs by more than 1e-6.
@pytest.mark.parametrize("decay", DECAYS.values(), ids=DECAYS.keys())
@pytest.mark.parametrize(("recipe", "setting"), settings())
def test_a_recipe_is_its_papers_rule(
    recipe: Recipe, setting: dict[str, Any], decay: dict[str, Any]
) -> None:
    hyperparameters = {**recipe.defaults, **setting, **decay}
    theirs = TRANSCRIPTIONS[recipe.name](GRADIENTS, START, recipe.lr, **hyperparameters)
    assert distance(run(recipe, hyperparameters), theirs) <= 1e-9


@pytest.mark.parametrize("eps", [1e-12, 1e-6, 1e-3])
@pytest.mark.parametrize("decay", DECAYS.values(), ids=DECAYS.keys())
@pytest.mark.parametrize("name", ["AdaX", "AdaXW"])
def test_adax_as_released_has_an_eps_that_shrinks(
    name: str, decay: dict[str, Any], eps: float
) -> None:
    """The authors' eps is ``eps / sqrt((1 + beta2)**t - 1)`` on the corrected root."""
    recipe = RECIPES[name]
    hyperparameters = {**recipe.defaults, "eps": eps, **decay}
    theirs = adax_as_released(GRADIENTS, START, recipe.lr, **hyperparameters)
    beta2 = hyperparameters["betas"][1]
    state = State.start(START)
    ours = []
    for t, grad in enumerate(GRADIENTS, start=1):
        converted = eps / ((1 + beta2) ** t - 1) ** 0.5
        rule = recipe.rule({**hyperparameters, "eps": converted})
        state = update(rule.at(t, recipe.lr), grad, state, peak=rule.peak)
        ours.append(state.p)
    assert distance(np.array(ours), theirs) <= 1e-9
    if eps == 1e-3:
        assert distance(run(recipe, hyperparameters), theirs) > 1e-3


@pytest.mark.parametrize("t0", [1_000, 20_000, 100_000, 887_000])
def test_adax_goes_on_as_published_from_any_step(t0: int) -> None:
    """The published state leaves float32 at step 887,272 and float64 at 7,098,183."""
    beta1, beta2 = 0.9, 1e-4
    rule = RECIPES["AdaX"].rule({"eps": 0.0, "weight_decay": 0.0})
    square = np.median(GRADIENTS**2, axis=0)
    state = State.start(START)._replace(v=square)
    x, m, v = START, np.zeros(ELEMENTS), square * ((1 + beta2) ** t0 - 1)
    ours, theirs = [], []
    for t, g in enumerate(GRADIENTS, start=t0 + 1):
        state = update(rule.at(t, 1e-3), g, state, peak=False)
        ours.append(state.p)
        m = beta1 * m + (1 - beta1) * g
        v = (1 + beta2) * v + beta2 * g**2
        x = x - 1e-3 * m / np.sqrt(v / ((1 + beta2) ** t - 1))
        theirs.append(x)
    # The float 1 + beta2 is off by 2**-53, which is 1.1e-12 of beta2 and so of each
    # square's weight. The root halves that; what is left pays for the roundings.
    assert distance(np.array(ours), np.array(theirs)) <= 1e-12


def test_amsgrads_variants_are_three_rules() -> None:
    paths = [
        run(RECIPES["AMSGrad"], {"variant": variant})
        for variant in ("paper", "torch", "optax")
    ]
    assert distance(paths[0], paths[1]) > 1e-3
    assert distance(paths[0], paths[2]) > 1e-3
    assert distance(paths[1], paths[2]) > 1e-3


def test_the_gradients_span_five_decades_and_have_heavy_tails() -> None:
    typical = np.median(np.abs(GRADIENTS), axis=0)
    assert np.log10(typical[-1] / typical[0]) == pytest.approx(5, abs=0.2)
    assert (np.abs(GRADIENTS).max(axis=0) > 8 * typical).all()
    np.testing.assert_array_equal(
        GRADIENTS, heavy_tailed(STEPS, ELEMENTS, seed=20200419)
    )


def test_the_transcriptions_import_numpy_alone() -> None:
    """So they cannot agree with the recipes by accident."""
    roots = set()
    for file in (Path(__file__).parents[1] / "published").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                roots.add((node.module or "").partition(".")[0])
    assert roots - set(sys.stdlib_module_names) == {"numpy"}
