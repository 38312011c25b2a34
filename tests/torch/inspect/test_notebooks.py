"""In a notebook the words about an optimizer are tables; elsewhere they stay words."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.family.test_markup import ELEMENTS, HOSTILE, Reader
from tests.torch.cases import Member, kinds
from torch import nn

from mementum.family import explain
from mementum.torch import AdaXW, FamilyOptimizer, param_groups


def trained(member: Member, **options: Any) -> FamilyOptimizer:
    """Return an optimizer of two groups that has taken a step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = member(param_groups(model, 0.01), lr=5e-3, **options)
    model(torch.randn(2, 3)).square().sum().backward()
    optimizer.step()
    return optimizer


@kinds
def test_every_number_of_telemetry_stands_in_the_table(member: Member) -> None:
    optimizer = trained(member, clip_norm=0.5)
    found = optimizer.telemetry()
    read = Reader(found._repr_html_())
    words = str(found).replace("group ", "group_").split()
    counts = f"{read.cells[-1]}"
    cells = [cell.replace(" ", "_") for cell in read.cells[:-1] if cell]
    assert " ".join(words) == " ".join([*cells, counts])
    assert repr(found).startswith("Telemetry(overall=Reading(coordinates=")


@kinds
def test_an_explanation_is_a_string_that_has_tables(member: Member) -> None:
    optimizer = trained(member)
    found = optimizer.explain()
    assert isinstance(found, str)
    assert repr(found) == repr(str(found)) == str.__repr__(found)
    assert found == "" + found
    read = Reader(found._repr_html_() or "")
    summary, source, *_ = read.cells
    assert f"{summary} {source}" == " ".join(explain.title(member.recipe).split())
    for index, group in enumerate(optimizer.param_groups):
        rule = member.recipe.rule({k: group[k] for k in member.recipe.defaults})
        assert explain.equations(rule) in read.cells
        for value in rule.at(1, 5e-3):
            assert f"{float(value):.6g}" in read.cells
        assert f"group {index}" in read.cells
    assert read.cells.count("float32") >= 2


COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    lambda found: pickle.loads(pickle.dumps(found)),
]


@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_a_copy_has_the_same_tables(copied: Callable[[Any], Any]) -> None:
    optimizer = trained(AdaXW)
    model = nn.Linear(2, 3)
    for found in (optimizer.explain(), optimizer.telemetry(), param_groups(model, 0.1)):
        again = copied(found)
        assert again._repr_html_() == found._repr_html_()
        assert str(again) == str(found)


def test_the_groups_table_is_the_printed_one() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    groups = param_groups(model, 0.05, lr=1e-3, layer_decay=0.5)
    read = Reader(groups._repr_html_() or "")
    assert " ".join(read.cells).split() == str(groups).split()
    assert repr(groups) == repr(list(groups))


@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_what_a_model_is_called_is_escaped(name: str) -> None:
    model = nn.Module()
    model.register_parameter(name.replace(".", ""), nn.Parameter(torch.ones(2, 2)))
    groups = param_groups(model, 0.05)
    for found in (groups, AdaXW(groups).explain(), AdaXW(groups).telemetry()):
        assert Reader(found._repr_html_() or "").elements <= ELEMENTS


def test_a_parameter_without_a_shape_is_said_to_have_none() -> None:
    found = AdaXW(nn.LazyLinear(3).parameters()).explain()
    assert "2 parameters without a shape before a forward pass" in found
    read = Reader(found._repr_html_() or "")
    words = "Parameter group 0: 2 parameters without a shape before a forward pass"
    assert words in read.cells


def test_groups_made_elsewhere_have_no_table() -> None:
    assert type(param_groups(nn.Linear(1, 1), 0.1))()._repr_html_() is None
