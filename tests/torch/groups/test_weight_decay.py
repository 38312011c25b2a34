"""What decays and what does not, and how the rate falls towards the input."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.torch.cases import Member, kinds, members
from torch import nn

import mementum
from mementum.torch import param_groups, step_in_backward


class RMSNorm(nn.Module):
    """A norm of our own, whose weight has two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2, 3))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.own = RMSNorm()
        self.linear = nn.Linear(4, 4)
        self.table_bias = nn.Parameter(torch.zeros(3, 3))


class Model(nn.Module):
    """An embedding tied to the head, three blocks, and a position of two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.position = nn.Parameter(torch.zeros(6, 4))
        self.blocks = nn.ModuleList([Block() for _ in range(3)])
        self.final = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 5)
        self.head.weight = self.embed.weight


def split(model: nn.Module, **options: Any) -> dict[str, float]:
    """Return each parameter's weight decay, by name."""
    groups = param_groups(model, 0.1, **options)
    return {n: group["weight_decay"] for group in groups for n, _ in group["params"]}


def rates(model: nn.Module, **options: Any) -> dict[str, float]:
    groups = param_groups(model, 0.1, lr=1.0, **options)
    return {name: group["lr"] for group in groups for name, _ in group["params"]}


def decaying(model: nn.Module, **options: Any) -> set[str]:
    return {name for name, decay in split(model, **options).items() if decay}


LINEAR = {f"blocks.{i}.linear.weight" for i in range(3)}


def test_biases_norms_and_vectors_do_not_decay() -> None:
    assert decaying(Model()) == {"embed.weight", "position", *LINEAR}


def test_embeddings_decay_by_choice() -> None:
    assert decaying(Model(), decay_embeddings=False) == {"position", *LINEAR}


def test_patterns_decide_first() -> None:
    found = decaying(Model(), no_decay=["position", "*.1.linear.weight"])
    assert found == {"embed.weight", *LINEAR} - {"blocks.1.linear.weight"}
    assert "blocks.0.own.gain" in decaying(Model(), decay=["blocks.0.own.*"])
    # A tied parameter goes by any of its names.
    assert "embed.weight" not in decaying(Model(), no_decay=["head.weight"])


@pytest.mark.parametrize(
    "norm",
    [
        nn.LayerNorm((2, 3)),
        nn.GroupNorm(2, 4),
        nn.BatchNorm2d(3),
        nn.InstanceNorm1d(3, affine=True),
        nn.RMSNorm((2, 3)),
        RMSNorm(),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_no_norm_decays(norm: nn.Module) -> None:
    assert decaying(nn.Sequential(norm, nn.Linear(2, 2))) == {"1.weight"}


def test_every_parameter_is_listed_once_and_frozen_ones_are_not() -> None:
    model = Model()
    model.blocks[0].requires_grad_(False)
    listed = [p for group in param_groups(model, 0.1) for _, p in group["params"]]
    wanted = [p for p in model.parameters() if p.requires_grad]
    assert len(listed) == len(wanted)
    assert set(map(id, listed)) == set(map(id, wanted))


def test_the_rate_falls_towards_the_input() -> None:
    found = rates(Model(), layer_decay=0.5)
    assert found["embed.weight"] == found["position"] == 0.5**4
    for i in range(3):
        assert found[f"blocks.{i}.linear.weight"] == 0.5 ** (3 - i)
        assert found[f"blocks.{i}.norm.bias"] == 0.5 ** (3 - i)
    assert found["final.weight"] == found["head.bias"] == 1.0


def test_layers_may_be_named() -> None:
    found = rates(Model(), layer_decay=0.5, layers=["embed", "blocks"])
    assert found["embed.weight"] == 0.25
    assert found["blocks.0.linear.weight"] == found["blocks.2.norm.bias"] == 0.5
    assert found["position"] == 0.5**3
    assert found["head.bias"] == 1.0


def test_a_decay_of_one_leaves_the_rate() -> None:
    assert set(rates(Model(), layer_decay=1.0).values()) == {1.0}
    assert set(rates(Model()).values()) == {1.0}


@members
def test_every_member_takes_the_groups_with_their_names(member: Member) -> None:
    model = Model()
    optimizer = member(param_groups(model, 0.1, lr=0.01, layer_decay=0.5))
    names = [n for group in optimizer.param_groups for n in group["param_names"]]
    assert names[0] in dict(model.named_parameters())
    assert len(names) == len(list(model.parameters()))
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    optimizer.step()
    theirs = torch.optim.AdamW(param_groups(model, 0.1))
    assert [len(group["params"]) for group in theirs.param_groups] == [5, 18]


@kinds
def test_what_does_not_decay_does_not_move_without_a_gradient(member: Member) -> None:
    model = Model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for param in model.parameters():
        param.grad = torch.zeros_like(param)
    optimizer = member(param_groups(model, 0.1), decoupled_weight_decay=True, lr=0.1)
    optimizer.step()
    moved = {
        name
        for name, param in model.named_parameters()
        if not torch.equal(param.detach(), before[name])
    }
    # A position of zeros has nothing to lose.
    assert moved == {"embed.weight", *LINEAR}


def test_the_split_is_printed() -> None:
    model = Model()
    lines = str(param_groups(model, 0.1, decay_embeddings=False)).splitlines()
    assert lines[0].split() == ["weight_decay", "parameters", "elements", "which"]
    assert lines[1].split()[:3] == ["0.1", "4", "72"]
    assert lines[1].endswith("the rest")
    assert lines[2].endswith("1 embedding, 7 biases, 11 norms")
    counts = [int(line.split()[1]) for line in lines[1:]]
    assert sum(counts) == len(list(model.parameters()))
    rated = str(param_groups(model, 0.1, lr=1e-3, layer_decay=0.5))
    assert rated.splitlines()[0].split()[1] == "lr"
    assert len(rated.splitlines()) == 1 + len(
        param_groups(model, 0.1, lr=1e-3, layer_decay=0.5)
    )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "pattern": ({"no_decay": ["bias"]}, "the pattern 'bias' matches no parameter"),
    "both": (
        {"no_decay": ["position"], "decay": ["*"]},
        "'position' matches both no_decay and decay",
    ),
    "no rate": ({"layer_decay": 0.5}, "layer_decay wants lr"),
    "no decay": ({"layers": ["embed"]}, "layers are given, and no layer_decay"),
    "too large": ({"layer_decay": 1.5, "lr": 1.0}, r"layer_decay is 1\.5"),
    "zero": ({"layer_decay": 0, "lr": 1.0}, "layer_decay is 0"),
    "layer": (
        {"layer_decay": 0.5, "lr": 1.0, "layers": ["block"]},
        "the layer 'block' has no parameter",
    ),
    "rate": ({"lr": -1.0}, "lr is -1"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_names_nothing_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        param_groups(Model(), 0.1, **options)


def test_a_model_without_layers_wants_them_named() -> None:
    with pytest.raises(ValueError, match="no ModuleList or Sequential"):
        param_groups(nn.Linear(2, 2), 0.1, lr=1.0, layer_decay=0.5)
    with pytest.raises(ValueError, match="weight_decay is -1"):
        param_groups(nn.Linear(2, 2), -1)


def test_what_is_no_module_is_refused() -> None:
    model: Any = [nn.Parameter(torch.ones(3))]
    with pytest.raises(TypeError, match=r"^param_groups: model is list"):
        param_groups(model, 0.1)


def test_they_are_the_packages() -> None:
    assert mementum.param_groups is param_groups
    assert mementum.step_in_backward is step_in_backward


@pytest.mark.parametrize("option", ["no_decay", "decay", "layers"])
def test_a_word_in_no_list_is_refused(option: str) -> None:
    words: Any = {option: "*.weight"}
    message = rf"^param_groups: {option} is '\*\.weight'; it is a list"
    with pytest.raises(TypeError, match=message):
        param_groups(torch.nn.Linear(2, 2), 0.1, **words)
