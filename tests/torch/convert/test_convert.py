"""A run goes on in another optimizer where the last one left it, and back."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    MEMBERS,
    Member,
    Options,
    bits_of,
    drive,
    gradients,
    kinds,
    members,
    parameters,
    same_bits,
    settings,
    twins,
)
from tests.torch.convert.runs import (
    FLAGS,
    SHAPES,
    amsgrads,
    assert_same_step,
    copied,
    expected_squares,
    named,
    ours,
    running,
    torchs,
)

import mementum
from mementum import convert
from mementum.torch import FORMATS, Adam, AdamW

# --- From torch -----------------------------------------------------------------------


@torchs
@amsgrads
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS.keys())
def test_the_first_step_after_adopting_is_torchs_own(
    build: Any, amsgrad: bool, dtype: torch.dtype, flags: Options
) -> None:
    params, theirs = running(build, dtype, amsgrad=amsgrad, **flags)
    optimizer = ours(theirs, twins(params))
    convert.adopt(optimizer, deepcopy(theirs.state_dict()))
    assert_same_step(copied(theirs), optimizer)


@torchs
@pytest.mark.parametrize("steps", [1, 2, 1_000])
def test_there_is_no_jump_however_long_the_run(build: Any, steps: int) -> None:
    (param,) = parameters(shapes=[(7,)])
    theirs = build([param], lr=0.01)
    drive(theirs, [param], gradients([param], steps))
    optimizer = ours(theirs, twins([param]))
    convert.adopt(optimizer, theirs.state_dict())
    assert_same_step(copied(theirs), optimizer)


@settings
@torchs
@amsgrads
def test_every_member_keeps_the_means_and_the_steps(
    build: Any, amsgrad: bool, member: Member, options: Options
) -> None:
    params, theirs = running(build, torch.float64, amsgrad=amsgrad)
    optimizer = member(twins(params), **options)
    before = deepcopy(theirs.state_dict()["state"])
    convert.adopt(optimizer, theirs.state_dict())
    (group,) = optimizer.param_groups
    defaults = member.recipe.defaults
    rule = member.recipe.rule({name: group[name] for name in defaults})
    for i, param in enumerate(group["params"]):
        state, step = optimizer.state[param], int(before[i]["step"])
        assert state["step"] == step
        assert ("peak" in state) is rule.peak
        corrected = before[i]["exp_avg_sq"] / (1 - 0.999**step)
        kept = (state["square"] - rule.eps_in) / rule.square.mass(step)
        torch.testing.assert_close(kept, corrected, rtol=1e-12, atol=1e-15)
        corrected = before[i]["exp_avg"] / (1 - 0.9**step)
        kept = state["momentum"] / rule.momentum.mass(step)
        torch.testing.assert_close(kept, corrected, rtol=1e-12, atol=0)
        if rule.peak:
            raw = before[i]["max_exp_avg_sq" if amsgrad else "exp_avg_sq"]
            kept = state["peak"] / rule.square.mass(step)
            corrected = raw / (1 - 0.999**step)
            torch.testing.assert_close(kept, corrected, rtol=1e-12, atol=0)
    drive(optimizer, group["params"], gradients(params, 2))
    assert all(bool(p.isfinite().all()) for p in group["params"])


@kinds
@pytest.mark.parametrize("state_dtype", FORMATS)
def test_every_format_adopts(member: Member, state_dtype: str) -> None:
    params, theirs = running(torch.optim.AdamW)
    exact, stored = (
        member(twins(params), state_dtype=each) for each in ("float32", state_dtype)
    )
    convert.adopt(exact, theirs)
    report = convert.adopt(stored, theirs)
    assert ("stored" in report.changes) is (state_dtype != "float32")
    # And a holding reads it back: half of what a step of 3 bits is, or of 8.
    again = member(twins(params))
    convert.adopt(again, stored)
    for mine, other in zip(
        *(o.param_groups[0]["params"] for o in (exact, again)), strict=True
    ):
        for name in ("momentum", "square"):
            a, b = exact.state[mine][name], again.state[other][name]
            apart = 2.0 ** {"float32": -30, "bfloat16": -7, "float8": -3}[state_dtype]
            least = a.abs().max() * 2.0**-15 if state_dtype == "float8" else 0
            assert bool(((a - b).abs() <= apart * a.abs() + least).all())
    drive(stored, stored.param_groups[0]["params"], gradients(params, 1))


# --- Back -----------------------------------------------------------------------------


@settings
@torchs
@amsgrads
def test_there_and_back_is_where_it_was(
    build: Any, amsgrad: bool, member: Member, options: Options
) -> None:
    params, theirs = running(build, amsgrad=amsgrad)
    optimizer = member(params, **options)
    convert.adopt(optimizer, theirs)
    back = build(twins(params), lr=0.01, weight_decay=0.1, amsgrad=amsgrad)
    report = convert.adopt(back, optimizer.state_dict())
    for mine, other in zip(params, back.param_groups[0]["params"], strict=True):
        before, after = theirs.state[mine], back.state[other]
        assert after["step"] == before["step"]
        assert after["step"].dtype == torch.float32
        # Two roundings, of half a unit each; eps in the average adds its own.
        same = member.recipe.defaults.get("betas", (0.9,))[0] == 0.9
        if same and not options:
            assert same_bits(after["exp_avg"], before["exp_avg"])
        for name in ("exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(
                after[name], before[name], rtol=2.0**-22, atol=1e-13
            )
        if amsgrad and "peak" in optimizer.state[mine]:
            name = "max_exp_avg_sq"
            torch.testing.assert_close(
                after[name], before[name], rtol=2.0**-22, atol=1e-13
            )
    assert report.steps == (7, 8)
    if not amsgrad or "peak" in optimizer.state[params[0]]:
        assert_same_step(copied(theirs), back)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@torchs
def test_short_moments_come_back_bit_for_bit(build: Any, dtype: torch.dtype) -> None:
    params, theirs = running(build, dtype)
    optimizer = ours(theirs, params)
    convert.adopt(optimizer, theirs)
    assert optimizer.state[params[0]]["square"].dtype == torch.float32
    back = build(params)
    convert.adopt(back, optimizer)
    for param in params:
        assert back.state[param]["exp_avg"].dtype == dtype
        assert same_bits(bits_of(back), bits_of(theirs))


def test_complex_moments_are_adopted() -> None:
    params, theirs = running(torch.optim.AdamW, torch.complex64)
    optimizer = ours(theirs, twins(params))
    convert.adopt(optimizer, theirs.state_dict())
    assert_same_step(copied(theirs), optimizer)


@pytest.mark.parametrize("flag", ["capturable", "fused", "foreach"])
def test_torch_gets_its_steps_where_it_wants_them(flag: str) -> None:
    params = parameters(shapes=SHAPES)
    first = AdamW(params, lr=0.01)
    drive(first, params, gradients(params, 3))
    back = torch.optim.AdamW(twins(params), lr=0.01, **{flag: flag != "capturable"})
    convert.adopt(back, first.state_dict())
    assert_same_step(first, back)


# --- Any to any -----------------------------------------------------------------------


@members
@pytest.mark.parametrize("other", MEMBERS, ids=lambda m: f"from {m.__name__}")
def test_members_adopt_each_other_and_return(member: Member, other: Member) -> None:
    params = parameters(torch.float64, SHAPES)
    first = other(params)
    drive(first, params, gradients(params, 5))
    second, third = member(twins(params)), other(twins(params))
    convert.adopt(second, first.state_dict())
    convert.adopt(third, second)
    for mine, theirs in zip(params, third.param_groups[0]["params"], strict=True):
        for name in ("momentum", "square"):
            a, b = first.state[mine][name], third.state[theirs][name]
            torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-28)


@kinds
@pytest.mark.parametrize("state_dtype", FORMATS)
def test_adopting_the_same_in_the_same_format_is_resuming(
    member: Member, state_dtype: str
) -> None:
    params = parameters(shapes=SHAPES)
    first = member(params, state_dtype=state_dtype)
    drive(first, params, gradients(params, 4))
    adopted, loaded = (member(twins(params), state_dtype=state_dtype) for _ in range(2))
    convert.adopt(adopted, first)
    loaded.load_state_dict(first.state_dict())
    # Numbers that a format holds are not rounded again, but for the peak of blocks.
    assert same_bits(bits_of(adopted), bits_of(loaded))


# --- Which parameter is which ---------------------------------------------------------


@pytest.mark.parametrize("given", ["optimizer", "state dict"])
def test_parameters_are_matched_by_name_whatever_their_order(given: str) -> None:
    params = parameters(shapes=[(4,)] * 4)
    theirs = torch.optim.AdamW(named(params, "dbca"))
    drive(theirs, params, gradients(params, 3))
    own = twins(params)
    groups = [{"params": named(own, "ab")}, {"params": named(own, "cd"), "lr": 1.0}]
    optimizer = mementum.AdaXW(groups)
    source = theirs if given == "optimizer" else theirs.state_dict()
    report = convert.adopt(optimizer, source)
    assert report.matched == "by name"
    squares = [optimizer.state[p]["square"] for p in own]
    for a, b in zip(squares, expected_squares(theirs, params), strict=True):
        torch.testing.assert_close(a, b, rtol=2.0**-23, atol=0)
    assert optimizer.param_groups[1]["lr"] == 1.0


def test_the_same_tensors_are_matched_without_names() -> None:
    params = parameters(shapes=[(4,)] * 4)
    theirs = torch.optim.AdamW(params)
    drive(theirs, params, gradients(params, 3))
    optimizer = AdamW([{"params": params[2:]}, {"params": params[:2]}])
    assert convert.adopt(optimizer, theirs).matched == "as the same tensors"
    squares = [optimizer.state[p]["square"] for p in params]
    for a, b in zip(squares, expected_squares(theirs, params), strict=True):
        torch.testing.assert_close(a, b, rtol=2.0**-23, atol=0)


def test_parameters_without_names_are_matched_by_place() -> None:
    params, theirs = running(torch.optim.Adam)
    optimizer = Adam(twins(params))
    assert convert.adopt(optimizer, theirs).matched == "by place"


def test_what_has_taken_no_step_begins_anew() -> None:
    params = parameters(shapes=[(4,), (2,)])
    theirs = torch.optim.AdamW(named(params, "ab"))
    params[0].grad = torch.ones(4)
    theirs.step()
    optimizer = Adam(named(params, "ab"))
    report = convert.adopt(optimizer, theirs)
    assert report.fresh == ("parameter 'b'",)
    assert "parameter 'b'" in str(report)
    assert set(optimizer.state) == {params[0]}


def test_a_parameter_without_a_name_is_called_by_its_place() -> None:
    params = parameters(shapes=[(4,), (2,)])
    theirs = torch.optim.AdamW(params)
    params[0].grad = torch.ones(4)
    theirs.step()
    report = convert.adopt(Adam(params), theirs)
    assert report.fresh == ("parameter 1",)


@pytest.mark.parametrize(
    "form", [int, float, torch.tensor, lambda n: torch.tensor([float(n)])]
)
def test_steps_are_read_in_every_form(form: Callable[[int], Any]) -> None:
    _, theirs = running(torch.optim.Adam, steps=2)
    saved = deepcopy(theirs.state_dict())
    for kept in saved["state"].values():
        kept["step"] = form(2)
    optimizer = Adam(parameters(shapes=SHAPES))
    assert convert.adopt(optimizer, saved).steps == (2, 2)
    assert {state["step"] for state in optimizer.state.values()} == {2}
