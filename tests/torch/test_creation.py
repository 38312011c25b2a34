"""Every member can be made by its name, of parameters or of a model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from html import escape

import pytest
import torch
from torch import nn

import mementum
from mementum.torch import MEMBERS, FamilyOptimizer

Member = type[FamilyOptimizer]
BY_NAME = pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.__name__)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def alike(left: FamilyOptimizer, right: FamilyOptimizer) -> bool:
    """Say whether two optimizers of twin models differ in nothing but the tensors."""
    known = [
        [{k: v for k, v in g.items() if k != "params"} for g in o.param_groups]
        for o in (left, right)
    ]
    shapes = [
        [[p.shape for p in g["params"]] for g in o.param_groups] for o in (left, right)
    ]
    return (
        type(left) is type(right)
        and known[0] == known[1]
        and shapes[0] == shapes[1]
        and left.defaults == right.defaults
    )


@BY_NAME
@pytest.mark.parametrize("written", [str.lower, str.upper, str], ids=repr)
def test_a_name_makes_its_class(member: Member, written: Callable[[str], str]) -> None:
    name = written(member.__name__)
    made = mementum.create(name, model().parameters(), lr=0.25, clip_norm=1.0)
    assert alike(made, member(model().parameters(), lr=0.25, clip_norm=1.0))


@BY_NAME
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.5, "lr": 0.25}], ids=repr)
def test_a_model_has_the_groups_of_param_groups(
    member: Member, options: dict[str, float]
) -> None:
    decay = options.get("weight_decay", member.recipe.defaults["weight_decay"])
    groups = mementum.param_groups(model(), decay)
    assert alike(
        mementum.create(member.__name__, model(), **options), member(groups, **options)
    )


def test_groups_and_names_are_taken_as_the_class_takes_them() -> None:
    net = model()
    groups = [{"params": [*net[0].named_parameters()], "lr": 0.5}]
    made = mementum.create("adamw", groups, weight_decay=0.1)
    assert made.param_groups[0]["lr"] == 0.5
    assert made.param_groups[0]["weight_decay"] == 0.1
    assert made.param_groups[0]["param_names"] == ["weight", "bias"]


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("adawx",), ValueError, "no optimizer is named 'adawx'; did you mean adaxw"),
        (("lion",), ValueError, "no optimizer is named 'lion'; "),
        ((torch.optim.Adam,), TypeError, "create: name is <class"),
    ],
)
def test_what_names_nothing_is_refused(
    words: tuple[object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as raised:
        mementum.create(*words, model())  # type: ignore[arg-type]
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (nn.LazyLinear(3), "param_groups: 'weight' has no shape yet"),
        (nn.Identity(), "create: the model has no parameter that wants a gradient"),
        (model().requires_grad_(False), "create: the model has no parameter that"),
    ],
    ids=["lazy", "empty", "frozen"],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_a_model_that_cannot_be_stepped_is_refused(net: nn.Module, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mementum.create("adamw", net)


def test_swapped_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="the name comes first"):
        mementum.create(model(), "adamw")  # type: ignore[arg-type]


def test_arguments_are_the_class_s() -> None:
    with pytest.raises(TypeError, match="AdaX has no argument 'betaz'"):
        mementum.create("adax", model(), betaz=(0.9, 0.1))


def test_a_listing_has_a_line_of_description_for_every_name() -> None:
    listing = mementum.list_optimizers()
    assert [*listing] == [member.__name__.lower() for member in MEMBERS]
    lines = str(listing).splitlines()
    assert len(lines) == len(MEMBERS)
    assert max(map(len, lines)) <= 80
    page = listing._repr_html_()
    for member in MEMBERS:
        assert member.recipe.summary == listing[member.__name__.lower()]
        assert escape(member.recipe.summary) in page


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("ada?", ["adam", "adax"]),
        ("AdaX*", ["adax", "adaxw"]),
        ("*[wc]", ["adamw", "adamnc", "adaxw"]),
        ("adam", ["adam"]),
        ("sgd", []),
        ("", []),
    ],
)
def test_a_pattern_is_a_shells(pattern: str, names: list[str]) -> None:
    assert [*mementum.list_optimizers(pattern)] == names


def test_a_pattern_is_a_string() -> None:
    with pytest.raises(TypeError, match="pattern is 3; it is a string"):
        mementum.list_optimizers(3)  # type: ignore[arg-type]


def test_names_are_listed_without_torch() -> None:
    program = (
        "import mementum, sys; print(mementum.list_optimizers('ada*'));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
