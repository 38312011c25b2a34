"""State dicts of other releases, other names, other layouts and other tools load."""

from __future__ import annotations

import warnings
from copy import deepcopy

import pytest
import torch
from tests.torch.cases import (
    CAPTURABLE,
    Member,
    Options,
    bits_of,
    continued,
    drive,
    give,
    gradients,
    kinds,
    parameters,
    paths,
    run,
    same_bits,
    twins,
)

from mementum.torch import FamilyOptimizer

FLAGS = ("maximize", "foreach", "fused", "capturable", "differentiable", "nonfinite")


@kinds
@pytest.mark.parametrize("flag", [*FLAGS, "skipped_steps"])
def test_a_state_dict_from_before_a_flag_loads(member: Member, flag: str) -> None:
    params, first = run(member, start := parameters(), gradients(start, 3))
    saved = deepcopy(first.state_dict())
    for group in saved["param_groups"]:
        del group[flag]
    resumed, second = continued(member, params, saved)
    give(resumed, gradients(start, 1)[0])
    give(params, gradients(start, 1)[0])
    first.step()
    second.step()
    assert same_bits(resumed, params)
    assert second.skipped_steps == 0


@kinds
@pytest.mark.parametrize("version", [1, None], ids=["format 1", "no format"])
@pytest.mark.parametrize(
    ("options", "steps", "warned"),
    [
        ({"state_dtype": "bfloat16"}, 1, 1),
        ({"state_dtype": "float8"}, 1, 1),
        ({"stochastic_rounding": True}, 1, 1),
        ({"stochastic_rounding": True}, 0, 0),
        ({}, 1, 0),
    ],
    ids=str,
)
def test_a_run_whose_noise_has_changed_says_so_once(
    member: Member, options: Options, steps: int, warned: int, version: int | None
) -> None:
    start = parameters(torch.bfloat16)
    groups = [{"params": twins(start)[:2]}, {"params": twins(start)[2:]}]
    first = member(groups, **options)
    params = [param for _, param in first.named_params()]
    drive(first, params, gradients(params, steps))
    saved = deepcopy(first.state_dict())
    for group in saved["param_groups"]:
        del group["format_version"]
        group.update({} if version is None else {"format_version": version})
    own = twins(params)
    second = member([{"params": own[:2]}, {"params": own[2:]}], **options)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        second.load_state_dict(saved)
    assert len(seen) == warned
    for each in seen:
        assert each.category is UserWarning
        assert each.filename == __file__
    assert same_bits(bits_of(first), bits_of(second))
    second.load_state_dict(first.state_dict())


@kinds
def test_an_optimizer_pickled_before_a_flag_steps(member: Member) -> None:
    _, optimizer = run(member, start := parameters(), gradients(start, 2))
    state = optimizer.__getstate__()
    for flag in (*FLAGS, "skipped_steps"):
        state["defaults"].pop(flag, None)
        for group in state["param_groups"]:
            group.pop(flag, None)
    revived = member.__new__(member)
    revived.__setstate__(state)
    drive(revived, revived.param_groups[0]["params"], gradients(start, 1))


@kinds
def test_names_are_saved_and_loaded_as_torch_does(member: Member) -> None:
    start = parameters(shapes=[(2,), (3,)])
    grads = gradients(start, 2)

    def build(prefix: str | None) -> FamilyOptimizer:
        own = twins(start)
        names = [(f"{prefix}{i}", p) for i, p in enumerate(own)]
        optimizer = member(names if prefix else own)
        drive(optimizer, own, grads)
        return optimizer

    for saved, loading, expected in (
        ("a", "a", ["a0", "a1"]),
        ("a", None, ["a0", "a1"]),
        (None, "b", ["b0", "b1"]),
        (None, None, None),
    ):
        optimizer = build(loading)
        optimizer.load_state_dict(build(saved).state_dict())
        assert optimizer.param_groups[0].get("param_names") == expected
        drive(optimizer, optimizer.param_groups[0]["params"], grads)


@kinds
def test_a_fresh_state_dict_loads_into_a_trained_optimizer(member: Member) -> None:
    start = parameters()
    params, optimizer = run(member, start, gradients(start, 3))
    optimizer.load_state_dict(member(twins(start)).state_dict())
    assert not optimizer.state
    drive(optimizer, params, gradients(start, 1))
    assert {int(optimizer.state[p]["step"]) for p in params} == {1}


@kinds
@paths(CAPTURABLE)
def test_moments_loaded_in_other_strides_lie_as_the_parameter_does(
    member: Member, flags: Options
) -> None:
    (plain,) = parameters(shapes=[(2, 3, 4, 5)])
    grads = gradients([plain], 4)
    (whole,), _ = run(member, [plain], grads, **flags)
    (halfway,), first = run(member, [plain], grads[:2], **flags)
    turned = halfway.detach().contiguous(memory_format=torch.channels_last)
    (resumed,), second = continued(
        member, [turned.requires_grad_()], first.state_dict()
    )
    assert second.state[resumed]["square"].stride() == resumed.stride()
    drive(second, [resumed], grads[2:])
    assert same_bits(resumed, whole)


@kinds
def test_torchs_distributed_state_dict_functions_take_it(member: Member) -> None:
    from torch.distributed.checkpoint import state_dict as dcp

    def build() -> tuple[torch.nn.Module, FamilyOptimizer]:
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        return model, member(model.parameters())

    def train(model: torch.nn.Module, optimizer: FamilyOptimizer) -> None:
        own = list(model.parameters())
        drive(optimizer, own, gradients(own, 3))

    model, first = build()
    train(model, first)
    for options in (None, dcp.StateDictOptions(flatten_optimizer_state_dict=True)):
        saved = dcp.get_optimizer_state_dict(model, first, options=options)
        twin, second = build()
        twin.load_state_dict(model.state_dict())
        dcp.set_optimizer_state_dict(twin, second, saved, options=options)
        assert same_bits(bits_of(first), bits_of(second))
