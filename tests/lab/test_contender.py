"""Laws of the contenders: published defaults, written out and passed on."""

import inspect

import pytest
import torch

import mementum
from mementum.lab.contender import CONTENDERS, Contender, find

every_contender = pytest.mark.parametrize("contender", CONTENDERS, ids=lambda c: c.name)
ours = pytest.mark.parametrize(
    "contender", [c for c in CONTENDERS if c.name != "SGD"], ids=lambda c: c.name
)


def written(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


@ours
def test_rates_and_options_are_the_defaults_of_the_class(contender: Contender) -> None:
    signature = inspect.signature(getattr(mementum, contender.name)).parameters
    assert contender.lr == signature["lr"].default
    for name, value in contender.options.items():
        assert value == written(signature[name].default), name


@ours
def test_every_published_hyperparameter_is_written_out(contender: Contender) -> None:
    published = {"betas", "momentum", "eps", "weight_decay", "variant"}
    signature = inspect.signature(getattr(mementum, contender.name)).parameters
    assert set(contender.options) == published & set(signature)


@every_contender
def test_the_optimizer_gets_the_rate_and_the_options_asked_for(
    contender: Contender,
) -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    options = {**contender.options, "weight_decay": 0.125}
    optimizer = contender.optimizer([parameter], 0.25, options)
    (group,) = optimizer.param_groups
    assert group["lr"] == 0.25
    for name in set(options) & set(group):
        assert written(group[name]) == options[name], name
    assert group["weight_decay"] == 0.125


@every_contender
def test_a_step_moves_the_parameters_against_the_slope(contender: Contender) -> None:
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = contender.optimizer([parameter], contender.lr, contender.options)
    parameter.sum().backward()
    optimizer.step()
    assert bool((parameter < 0).all())


def test_names_are_unique_and_an_unknown_one_is_a_lookup_error() -> None:
    assert [find(contender.name) for contender in CONTENDERS] == list(CONTENDERS)
    with pytest.raises(LookupError, match="Lion"):
        find("Lion")
