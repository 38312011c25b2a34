"""Laws every published optimizer obeys, over the list of recipes."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gradients import heavy_tailed

from mementum.family.memory import Memory
from mementum.family.recipes import RECIPES, Recipe
from mementum.family.reference import trajectory

over_recipes = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
laws = settings(derandomize=True, database=None, deadline=None, max_examples=20)

GROWING = ("AdaX", "AdaXW")
DEFAULTS = {
    "Adam": (1e-3, {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}),
    "AdamW": (1e-3, {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2}),
    "AMSGrad": (
        1e-3,
        {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "variant": "paper"},
    ),
    "AdamNC": (1e-3, {"momentum": 0.9, "eps": 1e-8, "weight_decay": 0.0}),
    "AdaX": (1.5e-3, {"betas": (0.9, 1e-4), "eps": 1e-12, "weight_decay": 5e-4}),
    "AdaXW": (5e-3, {"betas": (0.9, 1e-4), "eps": 1e-12, "weight_decay": 5e-2}),
    "AdamNX": (1e-3, {"betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 1e-2}),
    "AdaMomentum": (1e-3, {"betas": (0.9, 0.999), "eps": 1e-16, "weight_decay": 0.0}),
    "Mementum": (
        1e-3,
        {
            "momentum": 0.9,
            "memory": 1.0001,
            "square_of": "gradient",
            "peak": False,
            "debias_momentum": True,
            "eps": 1e-8,
            "weight_decay": 0.0,
        },
    ),
}
DECOUPLED = {"AdamW", "AdaXW", "AdamNX", "AdaMomentum", "Mementum"}


@over_recipes
def test_defaults_are_the_authors(recipe: Recipe) -> None:
    lr, defaults = DEFAULTS[recipe.name]
    assert recipe.lr == lr
    expected = {**defaults, "decoupled_weight_decay": recipe.name in DECOUPLED}
    assert recipe.defaults == expected
    assert recipe.rule({}) == recipe.rule(expected)


@over_recipes
def test_a_recipe_names_its_paper_and_its_departures(recipe: Recipe) -> None:
    text = inspect.getdoc(recipe.function) or ""
    assert re.fullmatch(r"[A-Z].*\.", recipe.summary)
    if recipe.name != "Mementum":
        assert re.match(r"arXiv:\d{4}\.\d{4,5}", recipe.paper)
        assert re.search(r"Differs from the authors' code: \w", text)


def changes(recipe: Recipe) -> list[dict[str, Any]]:
    """Return every single hyperparameter of a recipe, changed."""
    kept, memory = recipe.defaults.get("betas", (None, None))
    growing = recipe.name in GROWING
    others: dict[str, list[dict[str, Any]]] = {
        "betas": [
            {"betas": (0.8, memory)},
            {"betas": (kept, 1e-3 if growing else 0.9)},
        ],
        "momentum": [{"momentum": 0.8}],
        "memory": [{"memory": 0.9}, {"memory": Memory.adam(0.5)}],
        "eps": [{"eps": 1e-2}],
        "weight_decay": [{"weight_decay": 0.3}],
        "decoupled_weight_decay": [{}],
        "variant": [{"variant": "torch"}, {"variant": "optax"}],
        "square_of": [{"square_of": "momentum"}, {"square_of": "residual"}],
        "peak": [{"peak": True}],
        "debias_momentum": [{"debias_momentum": False}],
    }
    return [change for name in recipe.defaults for change in others[name]]


CHANGES = [
    pytest.param(recipe, change, id=f"{name}-{change or 'decoupled_weight_decay'}")
    for name, recipe in RECIPES.items()
    for change in changes(recipe)
]


@pytest.mark.parametrize(("recipe", "change"), CHANGES)
def test_no_hyperparameter_is_ignored(recipe: Recipe, change: dict[str, Any]) -> None:
    before = {**recipe.defaults, "weight_decay": 0.1}
    after = {**before, **change}
    if not change:
        after["decoupled_weight_decay"] = not before["decoupled_weight_decay"]
    gradients = heavy_tailed(20, 20, seed=8)
    ends = []
    for hyperparameters in (before, after):
        states = trajectory(recipe.rule(hyperparameters), 0.1, np.ones(20), gradients)
        *_, last = states
        ends.append(last.p)
    moved = np.abs(ends[0] - ends[1]).max()
    assert moved > 1e-4
    if set(change) - {"peak", "variant"} or not change:
        numbers = [recipe.rule(one).at(3, 0.1) for one in (before, after)]
        assert numbers[0] != numbers[1]


@over_recipes
def test_the_learning_rate_is_not_ignored(recipe: Recipe) -> None:
    rule = recipe.rule({})
    assert rule.at(3, 0.1) != rule.at(3, 0.2)


@over_recipes
@pytest.mark.parametrize("t", [1, 2, 1_000, 10**7])
def test_tensors_give_the_numbers_that_floats_give(recipe: Recipe, t: int) -> None:
    """What a device computes for itself is what the host would have sent."""
    hyperparameters = recipe.defaults

    def traced(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(traced(one) for one in value)
        return torch.tensor(value, dtype=torch.float64)

    numbers = {"betas", "momentum", "memory", "eps", "weight_decay"}
    on_device = {
        name: traced(value) if name in numbers else value
        for name, value in hyperparameters.items()
    }
    expected = recipe.rule(hyperparameters).at(t, recipe.lr)
    rule = recipe.rule(on_device, torch)
    got = rule.at(traced(float(t)), traced(recipe.lr), torch)
    # An ulp of the logarithm of a ratio moves a weight by t * log_ratio ulp, at most
    # 745 of them before the weight is 0.
    for name, one, other in zip(got._fields, got, expected, strict=True):
        assert float(one) == pytest.approx(other, rel=2e-13, abs=1e-300), name


NUMBERS = ("betas[0]", "betas[1]", "momentum", "memory", "eps", "weight_decay")
WORDS = ("variant", "square_of")
SWITCHES = ("decoupled_weight_decay", "peak", "debias_momentum")


def arguments_of(recipe: Recipe, kind: tuple[str, ...]) -> list[str]:
    """Return the recipe's arguments of a `kind`, its betas one by one."""
    listed = [name for name in recipe.defaults if name != "betas"]
    if "betas" in recipe.defaults:
        listed += ["betas[0]", "betas[1]"]
    return [name for name in listed if name in kind]


def arguments(kind: tuple[str, ...]) -> pytest.MarkDecorator:
    """Run a test over every recipe and each of its arguments of a `kind`."""
    listed = [
        pytest.param(recipe, argument, id=f"{name}-{argument}")
        for name, recipe in RECIPES.items()
        for argument in arguments_of(recipe, kind)
    ]
    return pytest.mark.parametrize(("recipe", "argument"), listed)


def given_as(recipe: Recipe, argument: str, value: Any) -> dict[str, Any]:
    """Return the recipe's defaults with one argument, or one beta, replaced."""
    if argument.startswith("betas["):
        betas = list(recipe.defaults["betas"])
        betas[int(argument[-2])] = value
        return {**recipe.defaults, "betas": tuple(betas)}
    return {**recipe.defaults, argument: value}


def refusal(recipe: Recipe, argument: str, value: Any) -> str:
    """Return the message that refuses `value`."""
    with pytest.raises((TypeError, ValueError)) as caught:
        recipe.rule(given_as(recipe, argument, value), where="group 3, ")
    return str(caught.value)


def check_refused(recipe: Recipe, argument: str, value: Any, shown: str) -> None:
    """Check that the message names everything and goes on to say what is wanted."""
    message = refusal(recipe, argument, value)
    start = f"{recipe.name}: group 3, {argument} is {shown}; "
    assert message.startswith(start)
    assert len(message) > len(start) + 10


def test_the_kinds_of_arguments_are_all_there_are() -> None:
    names = {name for recipe in RECIPES.values() for name in recipe.defaults}
    assert names - {*NUMBERS, *WORDS, *SWITCHES} == {"betas"}


@arguments(NUMBERS)
def test_numbers_out_of_range_are_refused(recipe: Recipe, argument: str) -> None:
    values = [math.nan, math.inf, -math.inf, -1e-9, -1.0]
    if argument.startswith("betas") or argument == "momentum":
        values += [1.0, 1.5]
    if argument == "betas[1]" and recipe.name in GROWING:
        values += [0.5, 0.999]
    if argument == "betas[1]" and recipe.name == "AdamNX":
        values += [0.0, 1e-4, math.nextafter(0.1, 0)]
    for value in values:
        check_refused(recipe, argument, value, str(value))
        check_refused(recipe, argument, np.float64(value), str(value))
        traced = torch.tensor(value, dtype=torch.float64)
        check_refused(recipe, argument, traced, str(value))


@arguments(NUMBERS)
def test_numbers_at_the_edge_of_the_range_are_taken(
    recipe: Recipe, argument: str
) -> None:
    share = argument.startswith("betas") or argument == "momentum"
    edge = 1 - 2**-53 if share else 1e6
    if argument == "betas[1]" and recipe.name in GROWING:
        edge = math.nextafter(0.5, 0)
    least = (0.1,) if argument == "betas[1]" and recipe.name == "AdamNX" else (0, 0.0)
    for value in (*least, edge, np.float64(edge), torch.tensor(0.25)):
        rule = recipe.rule(given_as(recipe, argument, value))
        assert all(math.isfinite(number) for number in rule.at(1, 0.1))
        assert all(math.isfinite(number) for number in rule.at(1_000, 0.1))


@arguments(NUMBERS + WORDS)
def test_values_of_the_wrong_type_are_refused(recipe: Recipe, argument: str) -> None:
    for value in ("much", None, 1j, [0.1, 0.2], torch.ones(2)):
        check_refused(recipe, argument, value, repr(value))


@over_recipes
def test_a_number_written_as_text_is_refused(recipe: Recipe) -> None:
    """Taken here, it would meet the arithmetic of a param group as text."""
    for argument in arguments_of(recipe, NUMBERS):
        check_refused(recipe, argument, "0.25", "'0.25'")


@over_recipes
def test_an_integer_too_large_for_a_float_is_refused_by_name(recipe: Recipe) -> None:
    for argument in arguments_of(recipe, NUMBERS):
        message = refusal(recipe, argument, 10**400)
        assert message.startswith(f"{recipe.name}: group 3, {argument} is ")


@over_recipes
def test_a_switch_is_true_or_false(recipe: Recipe) -> None:
    """Any word is true to Python, "no" included."""
    for argument in arguments_of(recipe, SWITCHES):
        for value in ("no", None, 0.5):
            check_refused(recipe, argument, value, repr(value))


@pytest.mark.parametrize("betas", [0.9, None, (), (0.9,), (0.9, 0.99, 0.999)])
@pytest.mark.parametrize(
    "recipe", [recipe for recipe in RECIPES.values() if "betas" in recipe.defaults]
)
def test_betas_are_two(recipe: Recipe, betas: Any) -> None:
    check_refused(recipe, "betas", betas, repr(betas))


@over_recipes
def test_an_unknown_argument_is_refused(recipe: Recipe) -> None:
    with pytest.raises(TypeError, match=rf"^{recipe.name}: .*beta3"):
        recipe.rule({"beta3": 0.5})


@pytest.mark.parametrize("name", GROWING)
def test_a_decaying_beta_for_adax_is_answered_with_the_way_out(name: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is below)
        RECIPES[name].rule({"betas": (0.9, 0.999)})
    message = str(caught.value)
    assert "betas[1] is 0.999; AdaX grows its memory and wants about 1e-4" in message
    assert "For a decaying memory use AdamW." in message


@pytest.mark.parametrize("memory", [Memory.adax(1e-4), {"log_ratio": math.log1p(1e-4)}])
def test_a_memory_may_be_given_as_itself(memory: Any) -> None:
    assert RECIPES["Mementum"].rule({"memory": memory}).square == Memory.adax(1e-4)


@pytest.mark.parametrize(
    "memory", [{"log_ratio": math.nan}, {"log_ratio": "much"}, {"ratio": 2.0}, {}]
)
def test_a_memory_in_plain_form_is_checked(memory: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^Mementum: (memory|log_ratio)"):
        RECIPES["Mementum"].rule({"memory": memory})


SIZES = st.floats(1e-3, 1e3)
ROWS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 8), st.just(5)),
    elements=SIZES | SIZES.map(lambda x: -x),
)


def points(recipe: Recipe, start: Any, gradients: Any, **changed: Any) -> np.ndarray:
    rule = recipe.rule({**recipe.defaults, **changed})
    return np.array([state.p for state in trajectory(rule, 0.1, start, gradients)])


@over_recipes
@laws
@given(gradients=ROWS, exponent=st.integers(-60, 60))
def test_scaling_every_gradient_changes_nothing(
    recipe: Recipe, gradients: np.ndarray, exponent: int
) -> None:
    """Exactly, where eps is 0, the scale a power of two and the decay decoupled."""
    start = np.linspace(-1, 1, 5)
    changed = {"eps": 0.0, "weight_decay": 0.1, "decoupled_weight_decay": True}
    one = points(recipe, start, gradients, **changed)
    other = points(recipe, start, gradients * 2.0**exponent, **changed)
    np.testing.assert_array_equal(one, other)


@over_recipes
@pytest.mark.parametrize("decoupled", [False, True])
@laws
@given(gradients=ROWS)
def test_flipping_every_sign_flips_the_path(
    recipe: Recipe, decoupled: bool, gradients: np.ndarray
) -> None:
    start = np.linspace(-1, 1, 5)
    changed = {"weight_decay": 0.1, "decoupled_weight_decay": decoupled}
    one = points(recipe, start, gradients, **changed)
    other = points(recipe, -start, -gradients, **changed)
    np.testing.assert_array_equal(one, -other)


@over_recipes
@laws
@given(gradients=ROWS, order=st.permutations(range(5)))
def test_permuting_the_elements_permutes_the_path(
    recipe: Recipe, gradients: np.ndarray, order: list[int]
) -> None:
    start = np.linspace(-1, 1, 5)
    one = points(recipe, start, gradients)
    other = points(recipe, start[order], gradients[:, order])
    np.testing.assert_array_equal(one[:, order], other)
