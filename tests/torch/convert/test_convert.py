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
    with_gaps,
)
from torch import Tensor

import mementum
from mementum import convert
from mementum.family.memory import Memory
from mementum.torch import FORMATS, Adam, AdamW, AMSGrad, FamilyOptimizer, Mementum

SHAPES = [(3, 4), (5,), (), (64, 64)]
TORCHS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
}
FLAGS: dict[str, Options] = {
    "loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
torchs = pytest.mark.parametrize("build", TORCHS.values(), ids=TORCHS.keys())
amsgrads = pytest.mark.parametrize("amsgrad", [False, True], ids=["", "amsgrad"])


def ours(theirs: torch.optim.Optimizer, params: Any) -> FamilyOptimizer:
    """Return the member that is the same rule, made with the same hyperparameters."""
    (group,) = theirs.param_groups
    chosen = {key: group[key] for key in ("lr", "eps", "weight_decay")}
    chosen["decoupled_weight_decay"] = isinstance(theirs, torch.optim.AdamW)
    if group["amsgrad"]:
        return AMSGrad(params, variant="torch", **chosen)
    return Mementum(params, momentum=0.9, memory=0.999, **chosen)


def assert_same_step(
    first: torch.optim.Optimizer, second: torch.optim.Optimizer
) -> None:
    """See two optimizers, on parameters of their own, take the same next step.

    Both round the parameter (half a unit in the last place each), and torch its decay
    too, and the factor of it (one and a half more). The step itself is rounded some 16
    times by each, and is at most lr times the largest |m| / sqrt(v), 10 in 50 steps.
    """
    own = [p for g in first.param_groups for p in g["params"]]
    other = [p for g in second.param_groups for p in g["params"]]
    (grads,) = gradients(own, 1, seed=77)
    drive(first, own, [grads])
    drive(second, other, [grads])
    lr = float(first.param_groups[0]["lr"])
    for a, b in zip(own, other, strict=True):
        unit = torch.finfo(a.dtype).eps
        bound = 3 * unit * a.detach().abs() + 32 * unit * 10 * lr
        assert bool(((a - b).detach().abs() <= bound).all())


def running(
    build: Callable[..., torch.optim.Optimizer],
    dtype: torch.dtype = torch.float32,
    steps: int = 9,
    **options: Any,
) -> tuple[list[Tensor], torch.optim.Optimizer]:
    params = parameters(dtype, SHAPES)
    optimizer = build(params, **({"lr": 0.01, "weight_decay": 0.1} | options))
    drive(optimizer, params, with_gaps(gradients(params, steps)))
    return params, optimizer


def copied(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return the optimizer's copy on copies of its parameters."""
    (group,) = optimizer.param_groups
    options = {k: group[k] for k in ("lr", "eps", "weight_decay", "amsgrad")}
    copy = type(optimizer)(twins(group["params"]), **options)  # type: ignore[call-arg]
    copy.load_state_dict(deepcopy(optimizer.state_dict()))
    return copy


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


def named(params: list[Tensor], order: str) -> list[tuple[str, Tensor]]:
    return [(letter, params["abcd".index(letter)]) for letter in order]


def expected_squares(
    source: torch.optim.Optimizer, params: list[Tensor]
) -> list[Tensor]:
    steps = [float(source.state[p]["step"]) for p in params]
    return [
        (source.state[p]["exp_avg_sq"].double() / (1 - 0.999**t)).float()
        for p, t in zip(params, steps, strict=True)
    ]


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


# --- Options and reports --------------------------------------------------------------


def test_hyperparameters_stay_unless_they_are_carried() -> None:
    params, theirs = running(torch.optim.AdamW, lr=0.03)
    optimizer = mementum.AdaXW(twins(params), lr=0.5)
    report = convert.adopt(optimizer, theirs, carry=("weight_decay",))
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.5, 0.1)
    assert ("lr", "0.03", "0.5") in report.options
    assert "weight_decay" not in [name for name, *_ in report.options]


def test_a_scheduler_goes_on_with_the_carried_rate() -> None:
    def scheduled(optimizer: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    params, theirs = running(torch.optim.AdamW, lr=0.8)
    first = scheduled(theirs)
    theirs.step()
    first.step()
    optimizer = AdamW(twins(params), lr=0.1)
    second = scheduled(optimizer)
    second.load_state_dict(first.state_dict())
    convert.adopt(optimizer, theirs, carry=("lr", "initial_lr"))
    for each in (first, second):
        each.optimizer.step()
        each.step()
    assert optimizer.param_groups[0]["lr"] == theirs.param_groups[0]["lr"] == 0.2


@kinds
def test_a_dry_run_says_what_will_happen_and_changes_nothing(member: Member) -> None:
    params, theirs = running(torch.optim.Adam, amsgrad=True)
    optimizer = member(params)
    kept, groups = bits_of(optimizer), deepcopy(optimizer.state_dict())
    told = convert.adopt(optimizer, theirs, dry_run=True)
    assert same_bits(bits_of(optimizer), kept)
    assert optimizer.state_dict() == groups
    done = convert.adopt(optimizer, theirs)
    assert (told.changes, told.options) == (done.changes, done.options)
    assert str(told).endswith("Nothing was changed.")
    assert str(done).startswith(f"{member.__name__} has adopted torch.optim.Adam: 4 ")
    for words in ("4,114 elements", "7 to 8", "the same tensors", "momentum", "square"):
        assert words in " ".join(str(told).split())
    keeps = "peak" in optimizer.state[params[0]]
    assert told.changes["peak"] == (
        "the source's" if keeps else "dropped: this rule keeps none"
    )


def test_a_report_names_what_a_rule_squares() -> None:
    params, theirs = running(torch.optim.Adam)
    report = convert.adopt(mementum.AdaMomentum(params), theirs, dry_run=True)
    told = " ".join(str(report).split())
    assert "of the momentum's from now on" in told


# --- Refusals -------------------------------------------------------------------------


def _saved(build: Callable[[Any], torch.optim.Optimizer]) -> dict[str, Any]:
    params = parameters(shapes=[(4,), (2, 3)])
    optimizer = build(params)
    drive(optimizer, params, gradients(params, 2))
    return deepcopy(optimizer.state_dict())


def _grouped(**changes: Any) -> dict[str, Any]:
    saved = _with()
    saved["param_groups"][0] |= changes
    return saved


def _with(**changed: Any) -> dict[str, Any]:
    saved = _saved(torch.optim.AdamW)
    saved["state"][1].update(changed)
    return saved


def _without(name: str) -> dict[str, Any]:
    saved = _saved(torch.optim.AdamW)
    del saved["state"][1][name]
    return saved


REFUSED: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "SGD": (lambda: torch.optim.SGD(parameters()), ("SGD keeps", "torch.optim.Adam")),
    "RMSprop": (lambda: _saved(torch.optim.RMSprop), ("has no 'betas'",)),
    "NAdam": (lambda: _saved(torch.optim.NAdam), ("has no 'amsgrad'",)),
    "RAdam": (lambda: _saved(torch.optim.RAdam), ("has no 'amsgrad'",)),
    "a model": (lambda: {"weight": torch.ones(4)}, ("no dict 'state'", "a model's")),
    "nothing": (lambda: None, ("NoneType",)),
    "a parameter more": (
        lambda: torch.optim.Adam(parameters(shapes=[(4,), (2, 3), (1,)])),
        ("3 parameters", "2 parameters"),
    ),
    "another shape": (
        lambda: (
            torch.optim.Adam(parameters(shapes=[(4,), (3, 2)])).state_dict()
            | {"state": {1: _with()["state"][1] | {"exp_avg": torch.ones(3, 2)}}}
        ),
        ("(3, 2)", "(2, 3)"),
    ),
    "no step": (lambda: _without("step"), ("parameter 1", "keeps exp_avg")),
    "no square": (lambda: _without("exp_avg_sq"), ("parameter 1",)),
    "another moment": (lambda: _with(mu_product=1.0), ("mu_product",)),
    "half a step": (lambda: _with(step=1.5), ("parameter 1: step is 1.5",)),
    "a step of NaN": (lambda: _with(step=torch.tensor(float("nan"))), ("nan",)),
    "a negative step": (lambda: _with(step=-1), ("step is -1",)),
    "a list": (lambda: _with(exp_avg=[0.0] * 6), ("list", "not a tensor")),
    "an eps in words": (lambda: _grouped(eps="x"), ("eps is 'x'",)),
    "a decay of NaN": (lambda: _grouped(weight_decay=float("nan")), ("nan",)),
    "a state of nobody": (
        lambda: (saved := _with()) | {"state": saved["state"] | {7: {"step": 1}}},
        ("a state under 7",),
    ),
    "integers": (
        lambda: _with(exp_avg=torch.ones(2, 3, dtype=torch.int64)),
        ("int64",),
    ),
    "a square below zero": (
        lambda: _with(exp_avg_sq=-torch.ones(2, 3)),
        ("exp_avg_sq below zero",),
    ),
    "two rules": (
        lambda: (
            (saved := _saved(AdamW))
            | {"param_groups": [*saved["param_groups"], {"params": [], "rule": "AdaX"}]}
        ),
        ("different rules",),
    ),
    "an unknown rule": (
        lambda: {"state": {}, "param_groups": [{"params": [0, 1], "rule": "Yogi"}]},
        ("'Yogi'",),
    ),
    "a newer format": (
        lambda: {
            "state": {},
            "param_groups": [{"params": [0], "rule": "Adam", "format_version": 9}],
        },
        ("format 9", "update mementum"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("build", [Adam, torch.optim.Adam], ids=["ours", "torch's"])
def test_what_cannot_be_adopted_changes_nothing(build: Any, name: str) -> None:
    make, words = REFUSED[name]
    params = parameters(shapes=[(4,), (2, 3)])
    optimizer = build(params)
    drive(optimizer, params, gradients(params, 3))
    before, groups = bits_of(optimizer), deepcopy(optimizer.state_dict())
    with pytest.raises((TypeError, ValueError), match=r"^Adam cannot adopt") as refusal:
        convert.adopt(optimizer, make())
    message = str(refusal.value)
    assert [word for word in words if word not in message] == [], message
    assert same_bits(bits_of(optimizer), before)
    assert optimizer.state_dict()["param_groups"] == groups["param_groups"]


def test_other_names_are_refused_until_they_are_renamed() -> None:
    params = parameters(shapes=[(4,), (2, 3)])
    theirs = torch.optim.AdamW(named(params, "ab"))
    drive(theirs, params, gradients(params, 2))
    other = [(name.upper(), param) for name, param in named(twins(params), "ba")]
    optimizer = AdamW(other)
    saved = theirs.state_dict()
    with pytest.raises(ValueError, match=r"without 'B', 'A' .*convert\.renamed"):
        convert.adopt(optimizer, saved)
    assert convert.adopt(optimizer, convert.renamed(saved, str.upper)).parameters == 2
    assert saved["param_groups"][0]["param_names"] == ["a", "b"]
    squares = [optimizer.state[p]["square"] for _, p in reversed(other)]
    for a, b in zip(squares, expected_squares(theirs, params), strict=True):
        torch.testing.assert_close(a, b, rtol=2.0**-23, atol=0)


def test_only_some_of_the_same_tensors_are_refused() -> None:
    params = parameters(shapes=[(4,), (4,)])
    theirs = torch.optim.AdamW(params)
    with pytest.raises(ValueError, match="only 1 are the same"):
        convert.adopt(Adam([params[0], *twins(params[1:])]), theirs)


def test_the_arguments_in_the_other_order_are_refused() -> None:
    with pytest.raises(TypeError, match="source is the second"):
        convert.adopt(torch.optim.SGD(parameters()), Adam(parameters()))


@pytest.mark.parametrize("option", ["rate", "params", "rule", "foreach", "amsgrad"])
def test_only_options_of_both_sides_are_carried(option: str) -> None:
    params, theirs = running(torch.optim.AdamW)
    optimizer = AdamW(params)
    with pytest.raises(ValueError, match=f"carry names '{option}'"):
        convert.adopt(optimizer, theirs, carry=(option,))
    assert not optimizer.state


def test_options_that_do_not_fit_are_refused_when_carried() -> None:
    params, theirs = running(torch.optim.AdamW)
    optimizer = mementum.AdaX(params)
    with pytest.raises(ValueError, match=r"AdaX cannot adopt this: .*betas\[1\]"):
        convert.adopt(optimizer, theirs, carry=("betas",))
    assert not optimizer.state
    assert optimizer.param_groups[0]["betas"] == (0.9, 1e-4)


def test_a_memory_is_reported_as_its_ratio() -> None:
    params, theirs = running(torch.optim.AdamW)
    optimizer = Mementum(params, memory=Memory.adax(1e-3))
    report = convert.adopt(optimizer, theirs, dry_run=True)
    assert ("memory ratio", "0.999", "1.001") in report.options


@torchs
@kinds
@pytest.mark.parametrize("saved", [False, True], ids=["running", "saved"])
@pytest.mark.parametrize("dry_run", [False, True], ids=["", "dry"])
def test_a_source_without_steps_takes_no_moments_away(
    member: Member,
    build: Callable[..., torch.optim.Optimizer],
    saved: bool,
    dry_run: bool,
) -> None:
    start = parameters(shapes=SHAPES)
    for kind, other in ((build, member), (member, build)):
        params = twins(start)
        trained, fresh = kind(params, lr=0.01), other(params, lr=0.01)
        # A fresh source begins a fresh optimizer, and says so.
        assert convert.adopt(kind(params, lr=0.01), fresh, dry_run=True).steps == (0, 0)
        drive(trained, params, gradients(start, 2))
        before = deepcopy(trained.state_dict()["state"])
        source = fresh.state_dict() if saved else fresh
        name = type(trained).__name__
        message = rf"^{name} cannot adopt this: the source has taken no step .*swapped"
        with pytest.raises(ValueError, match=message):
            convert.adopt(trained, source, dry_run=dry_run)
        after = trained.state_dict()["state"]
        assert before.keys() == after.keys()
        for key, kept in before.items():
            for each, value in kept.items():
                assert torch.equal(
                    torch.as_tensor(value), torch.as_tensor(after[key][each])
                )


@torchs
@kinds
@pytest.mark.parametrize("maximize", [False, True], ids=["", "maximize"])
def test_a_report_says_that_the_momentum_has_the_other_sign(
    member: Member, build: Callable[..., torch.optim.Optimizer], maximize: bool
) -> None:
    start = parameters(shapes=SHAPES)
    params = twins(start)
    theirs = build(params, lr=0.01, maximize=maximize)
    drive(theirs, params, gradients(start, 2))
    for mine in (False, True):
        own = member(params, lr=0.01, maximize=mine)
        report = convert.adopt(own, theirs, dry_run=True)
        differs = mine != maximize
        assert ("other sign" in report.changes["momentum"]) == differs
        assert (("maximize", str(maximize), str(mine)) in report.options) == differs


def test_a_report_says_all_rates_in_lines_of_a_terminal() -> None:
    start = parameters(shapes=[(2,)] * 6)
    params = twins(start)
    theirs = torch.optim.AdamW(
        [{"params": [param], "lr": 0.1 * (i + 1)} for i, param in enumerate(params)]
    )
    drive(theirs, params, gradients(start, 2))
    report = str(convert.adopt(AdamW(params, lr=0.03), theirs, dry_run=True))
    assert max(map(len, report.splitlines())) <= 80
    words = " ".join(report.split())
    assert "0.03 here, 0.1 in the source; 0.03 here, 0.2 in the source;" in words
    assert "0.03 here, 0.3 in the source; 3 more" in words
    assert "matched as the same tensors" in words


@kinds
def test_an_option_to_carry_in_no_list_is_refused(member: Member) -> None:
    params, theirs = running(torch.optim.AdamW)
    message = rf"^{member.__name__} cannot adopt this: carry is 'lr'; it is a list"
    with pytest.raises(TypeError, match=message):
        convert.adopt(member(params), theirs, carry="lr")
