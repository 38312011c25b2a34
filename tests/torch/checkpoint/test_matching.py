"""Saved parameters are found by name, whatever their order, groups and wrappers."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    Member,
    bits_of,
    drive,
    gradients,
    kinds,
    members,
    parameters,
    same_bits,
    twins,
)
from torch import Tensor
from torch.distributed.checkpoint import state_dict as dcp

from mementum.torch import FORMATS, AdaX, FamilyOptimizer, Mementum

LETTERS = "abcd"
STEPS = 3
Named = list[tuple[str, Tensor]]


def named(params: list[Tensor], order: str, prefix: str = "") -> Named:
    return [(prefix + each, params[LETTERS.index(each)]) for each in order]


def saved_from(member: Member, order: str, **options: Any) -> tuple[list[Tensor], Any]:
    """Return trained parameters and what was saved; all have one shape."""
    params = parameters(options.pop("dtype", torch.float32), [(4, 2)] * 4)
    optimizer = member(named(params, order), **options)
    drive(optimizer, params, gradients(params, STEPS))
    return params, optimizer.state_dict()


def assert_goes_on(
    optimizer: FamilyOptimizer,
    own: list[Tensor],
    member: Member,
    order: str,
    **options: Any,
) -> None:
    """See parameters a step later where the run that was not stopped has them."""
    dtype = options.pop("dtype", torch.float32)
    whole = parameters(dtype, [(4, 2)] * 4)
    first = member(named(whole, order), **options)
    grads = gradients(whole, STEPS)
    drive(first, whole, [*grads, grads[0]])
    drive(optimizer, own, [grads[0]])
    assert same_bits(own, whole)
    for mine, theirs in zip(own, whole, strict=True):
        for name, value in first.state[theirs].items():
            assert same_bits(optimizer.state[mine][name], value)


@kinds
@pytest.mark.parametrize("state_dtype", FORMATS)
def test_the_order_of_named_parameters_does_not_matter(
    member: Member, state_dtype: str
) -> None:
    options: dict[str, Any] = {
        "state_dtype": state_dtype,
        "stochastic_rounding": True,
        "dtype": torch.bfloat16,
    }
    params, saved = saved_from(member, "dbca", **options)
    own = twins(params)
    del options["dtype"]
    optimizer = member(named(own, "abcd"), **options)
    optimizer.load_state_dict(saved)
    assert_goes_on(optimizer, own, member, "dbca", dtype=torch.bfloat16, **options)


@kinds
def test_groups_may_be_parted_joined_and_reordered(member: Member) -> None:
    params, saved = saved_from(member, "abcd", lr=0.02)
    for orders in (("ab", "cd"), ("d", "c", "ba"), ("cd", "ab")):
        own = twins(params)
        optimizer = member([{"params": named(own, each)} for each in orders], lr=9.0)
        optimizer.load_state_dict(saved)
        assert [group["lr"] for group in optimizer.param_groups] == [0.02] * len(orders)
        assert_goes_on(optimizer, own, member, "abcd", lr=0.02)


def test_options_go_with_their_parameters() -> None:
    params = parameters(shapes=[(4, 2)] * 4)
    first = AdaX(
        [
            {"params": named(params, "ab"), "lr": 1.0, "initial_lr": 5.0},
            {"params": named(params, "cd"), "lr": 2.0},
        ]
    )
    own = twins(params)
    second = AdaX([{"params": named(own, each)} for each in ("dc", "a", "b")])
    second.load_state_dict(first.state_dict())
    assert [group["lr"] for group in second.param_groups] == [2.0, 1.0, 1.0]
    assert [group.get("initial_lr") for group in second.param_groups] == [
        None,
        5.0,
        5.0,
    ]
    assert [group["param_names"] for group in second.param_groups] == [
        ["d", "c"],
        ["a"],
        ["b"],
    ]


def test_groups_of_equal_options_may_be_joined() -> None:
    params = parameters(shapes=[(4, 2)] * 4)
    groups = [{"params": named(params, each)} for each in ("ab", "cd")]
    first = AdaX(groups, lr=torch.tensor(0.5))
    second = AdaX(named(twins(params), "abcd"))
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["lr"] == 0.5


WRAPPED: dict[str, Callable[[str], str]] = {
    "DistributedDataParallel": lambda name: f"module.{name}",
    "torch.compile": lambda name: f"_orig_mod.{name}",
    "both": lambda name: f"module._orig_mod.{name}",
    "checkpointed": lambda name: f"layers._checkpoint_wrapped_module.{name}",
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
@pytest.mark.parametrize("when", ["saved", "loaded"])
def test_names_are_compared_without_wrappers(
    wrap: Callable[[str], str], when: str
) -> None:
    # Noise is keyed by names, and goes on with those it began with.
    bare = (lambda name: f"layers.{name}") if "layers" in wrap("") else (lambda n: n)
    params = parameters(torch.bfloat16, [(4, 2)] * 4)
    grads = gradients(params, 4)

    def build(own: list[Tensor], rename: Callable[[str], str]) -> FamilyOptimizer:
        pairs = [(rename(name), p) for name, p in named(own, "abcd")]
        return AdaX(pairs, stochastic_rounding=True, lr=1e-3)

    renames = (wrap, bare) if when == "saved" else (bare, wrap)
    first = build(params, renames[0])
    drive(first, params, grads[:3])
    own = twins(params)
    second = build(own, renames[1])
    second.load_state_dict(deepcopy(first.state_dict()))
    drive(first, params, grads[3:])
    drive(second, own, grads[3:])
    assert same_bits(own, params)


def test_a_module_named_module_is_no_wrapper_unless_all_are_in_it() -> None:
    params = parameters(shapes=[(4,), (4,)])
    first = AdaX([("module.a", params[0]), ("a", params[1])])
    second = AdaX([("a", params[1]), ("module.a", params[0])])
    drive(first, params, gradients(params, 2))
    second.load_state_dict(first.state_dict())
    assert same_bits(
        [second.state[p]["square"] for p in params],
        [first.state[p]["square"] for p in params],
    )


@pytest.mark.parametrize("sides", ["saved", "loaded", "neither"])
def test_parameters_are_matched_by_place_unless_both_sides_have_names(
    sides: str,
) -> None:
    params = parameters(shapes=[(4,), (4,)])
    pairs = list(zip("ba", params, strict=True))
    first = AdaX(pairs if sides == "saved" else params)
    drive(first, params, gradients(params, 2))
    own = twins(params)
    second = AdaX(list(zip("ab", own, strict=True)) if sides == "loaded" else own)
    second.load_state_dict(first.state_dict())
    assert same_bits(bits_of(second), bits_of(first))
    expected = {"saved": ["b", "a"], "loaded": ["a", "b"], "neither": None}[sides]
    assert second.param_groups[0].get("param_names") == expected


def test_an_empty_group_keeps_its_options() -> None:
    params = parameters(shapes=[(4,), (4,)])
    a, b = zip("ab", params, strict=True)
    first = AdaX([a, b], lr=1.0)
    second = AdaX([{"params": [a, b]}, {"params": [], "param_names": [], "lr": 3.0}])
    second.load_state_dict(first.state_dict())
    assert [group["lr"] for group in second.param_groups] == [1.0, 3.0]


# --- What a state dict says -----------------------------------------------------------


@members
def test_a_state_dict_says_what_it_is(member: Member) -> None:
    params = parameters(shapes=[(3, 4), ()])
    optimizer = member(list(zip("ab", params, strict=True)))
    (group,) = optimizer.state_dict()["param_groups"]
    assert group["format_version"] == 2
    assert group["rule"] == member.recipe.kind
    assert group["param_names"] == ["a", "b"]
    assert group["param_shapes"] == "[[3, 4], []]"
    assert not {"format_version", "param_shapes"} & set(optimizer.param_groups[0])
    optimizer.load_state_dict(optimizer.state_dict())
    assert not {"format_version", "param_shapes"} & set(optimizer.param_groups[0])


@members
def test_pairs_are_lists_in_a_file_and_pairs_again_in_an_optimizer(
    member: Member, tmp_path: Path
) -> None:
    optimizer = member(parameters())
    torch.save(optimizer.state_dict(), tmp_path / "saved.pt")
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)

    def look(value: Any) -> None:
        assert not isinstance(value, tuple)
        for inner in value.values() if isinstance(value, dict) else ():
            look(inner)
        for inner in value if isinstance(value, list) else ():
            look(inner)

    look(saved)
    before = {k: type(v) for k, v in optimizer.param_groups[0].items()}
    optimizer.load_state_dict(saved)
    assert {k: type(v) for k, v in optimizer.param_groups[0].items()} == before


# --- torch.distributed ----------------------------------------------------------------


class Model(torch.nn.Module):
    """Two layers of one shape, to be told apart by their names alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 3, bias=False)
        self.second = torch.nn.Linear(3, 3, bias=False)


def _optimizer(
    model: Model, member: Member, order: str, names: bool
) -> FamilyOptimizer:
    params = dict(model.named_parameters())
    chosen = [f"{each}.weight" for each in order.split()]
    return member([(n, params[n]) if names else params[n] for n in chosen])


# Names before and after. Of names on one side only, torch itself fails in two mixes.
NAMES = {"none": (0, 0), "before": (1, 0), "after": (0, 1), "both": (1, 1)}
OPTIONS: dict[str, tuple[dict[str, bool], tuple[str, ...]]] = {
    "plain": ({}, ("none", "before", "after", "both")),
    "flat": ({"flatten_optimizer_state_dict": True}, ("none", "before", "both")),
    "full": ({"full_state_dict": True}, ("none", "after", "both")),
    "offloaded": ({"full_state_dict": True, "cpu_offload": True}, ("none", "both")),
}
MIXES = [
    pytest.param(options, NAMES[names], id=f"{kind}, names: {names}")
    for kind, (options, mixes) in OPTIONS.items()
    for names in mixes
]


@kinds
@pytest.mark.parametrize(("options", "names"), MIXES)
@pytest.mark.parametrize("order", ["first second", "second first"])
def test_torch_distributed_brings_each_state_to_its_parameter(
    member: Member, options: dict[str, bool], names: tuple[int, int], order: str
) -> None:
    chosen = dcp.StateDictOptions(**options)
    model, twin = Model(), Model()
    first = _optimizer(model, member, "first second", bool(names[0]))
    params = [model.first.weight, model.second.weight]
    drive(first, params, gradients(params, 3))
    saved = dcp.get_optimizer_state_dict(model, first, options=chosen)
    twin.load_state_dict(model.state_dict())
    second = _optimizer(twin, member, order, bool(names[1]))
    dcp.set_optimizer_state_dict(twin, second, saved, options=chosen)
    for mine, theirs in zip(
        params, [twin.first.weight, twin.second.weight], strict=True
    ):
        for name, value in first.state[mine].items():
            assert same_bits(second.state[theirs][name], value)
    (group,) = second.param_groups
    if names[1] or (names[0] and not options):
        expected = [f"{each}.weight" for each in order.split()]
        assert group["param_names"] == expected
    assert not {"format_version", "param_shapes"} & set(group)


def test_names_of_a_part_of_the_model_are_the_ends_of_its_own() -> None:
    whole = torch.nn.ModuleDict({"encoder": Model(), "head": Model()})
    encoder = whole["encoder"]
    first = AdaX(encoder.named_parameters())
    params = list(encoder.parameters())
    drive(first, params, gradients(params, 2))
    saved = dcp.get_optimizer_state_dict(whole, first)
    second = AdaX(encoder.named_parameters())
    dcp.set_optimizer_state_dict(whole, second, saved)
    assert same_bits(bits_of(second), bits_of(first))


def test_distributed_names_that_differ_are_refused() -> None:
    params = parameters(shapes=[(4,), (4,)])
    optimizer = Mementum(list(zip("ab", params, strict=True)))
    (group,) = optimizer.state_dict()["param_groups"]
    group["params"] = ["a", "c"]
    with pytest.raises(
        ValueError, match="without 'b' and this optimizer is without 'c'"
    ):
        optimizer.load_state_dict({"state": {}, "param_groups": [group]})
