"""Every option, on every path, does what the reference says, or is refused."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_type_hints

import pytest
import torch
from tests.torch import rounding
from tests.torch.cases import (
    CAPTURABLE,
    COMPUTED,
    EAGER,
    KINDS,
    MEMBERS,
    PATHS,
    Member,
    Options,
    gradients,
    kinds,
    members,
    numbers_of,
    parameters,
    run,
)

import mementum
from mementum.torch import AdaX, AdaXW, FamilyOptimizer
from mementum.torch.backends import native

# Another value for each argument that changes the result.
OTHERS: dict[str, Any] = {
    "lr": 0.125,
    "betas": (0.5, 0.75),
    "momentum": 0.5,
    "eps": 0.25,
    "weight_decay": 0.375,
    "decoupled_weight_decay": None,
    "variant": "torch",
    "memory": 0.75,
    "square_of": "momentum",
    "peak": True,
    "debias_momentum": False,
    "maximize": True,
}
# Arguments that say how a step is run, and must not change its result.
EXECUTION = {"foreach", "fused", "capturable", "differentiable", "nonfinite"}
# Its laws are in test_clipping.py.
EXECUTION |= {"clip_norm"}
# Arguments that say how numbers are stored; test_formats.py holds their laws.
EXECUTION |= {"state_dtype", "stochastic_rounding", "seed"}


def arguments(member: Member) -> dict[str, inspect.Parameter]:
    named = dict(inspect.signature(member).parameters)
    del named["params"]
    return named


def cases() -> list[Any]:
    """Return the options of every member, and on every path those of the kinds."""
    return [
        pytest.param(member, name, path, id=f"{member.__name__}-{name}-{path}")
        for member in MEMBERS
        for name in arguments(member)
        if name not in EXECUTION
        for path in (PATHS if member in KINDS else COMPUTED)
    ]


def changed(member: Member, name: str) -> Options:
    if name == "decoupled_weight_decay":
        usual = member.recipe.defaults[name]
        return {"decoupled_weight_decay": not usual, "weight_decay": 0.375}
    if name == "betas" and member in (AdaX, AdaXW):
        return {"betas": (0.5, 0.25)}
    return {name: OTHERS[name]}


@pytest.mark.parametrize(("member", "name", "path"), cases())
def test_an_option_changes_the_result_as_the_reference_says(
    member: Member, name: str, path: str
) -> None:
    (start,) = parameters(torch.float64, [(10,)])
    grads = gradients([start], 6)
    options, flags = changed(member, name), PATHS[path]
    usual = {"weight_decay": 0.375} if "weight_decay" in options else {}
    (before,), _ = run(member, [start], grads, **usual, **flags)
    (param,), optimizer = run(member, [start], grads, **options, **flags)
    if options != usual:
        assert not torch.equal(param, before)
    units = rounding.Units.of(torch.float64)
    if path in CAPTURABLE:
        units = units._replace(numbers=24 * units.numbers)
    own = [step[0] for step in grads]
    expected, errors = rounding.follow(member, start, own, units, **options)
    rounding.assert_within(rounding.state_of(optimizer, param), expected, errors)


@members
def test_every_option_is_in_the_matrix(member: Member) -> None:
    assert set(arguments(member)) <= set(OTHERS) | EXECUTION


@members
def test_a_group_flag_counts_as_much_as_an_argument(member: Member) -> None:
    start = parameters(shapes=[(5,)])
    grads = gradients(start, 3)
    for name in (*arguments(member), None):
        if name is None or name in EXECUTION:
            continue
        options = changed(member, name)
        (expected,), _ = run(member, start, grads, **options)
        param = start[0].detach().clone().requires_grad_()
        optimizer = member([{"params": [param], **options}])
        for step in grads:
            param.grad = step[0].clone()
            optimizer.step()
        assert torch.equal(param, expected), name


@members
def test_a_signature_says_the_recipes_defaults(member: Member) -> None:
    found = {name: p.default for name, p in arguments(member).items()}
    expected = {"lr": member.recipe.lr, **member.recipe.defaults}
    assert {name: found[name] for name in expected} == expected
    assert set(found) == set(expected) | EXECUTION | {"maximize"}
    optimizer = member([torch.ones(1, requires_grad=True)])
    group = optimizer.param_groups[0]
    for name, default in found.items():
        assert group[name] == default
        assert type(group[name]) is type(default)


@members
def test_a_signature_shows_every_flag_by_name(member: Member) -> None:
    signature = inspect.signature(member)
    kinds = {p.kind for p in signature.parameters.values()}
    assert kinds <= {
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    }
    for name in (*EXECUTION, "maximize", "decoupled_weight_decay"):
        parameter = signature.parameters[name]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert "params" in get_type_hints(member.__init__)
    assert member.__doc__
    assert "nonfinite" in member.__doc__
    assert member.__name__ == member.recipe.name


@members
def test_an_unknown_argument_is_refused_by_name(member: Member) -> None:
    with pytest.raises(TypeError, match=rf"^{member.__name__} has no argument 'rho'"):
        member([torch.ones(1, requires_grad=True)], rho=0.9)
    with pytest.raises(TypeError):
        member([torch.ones(1, requires_grad=True)], 1e-3, None, None, None, None, None)


@members
def test_a_mistyped_argument_is_told_its_name(member: Member) -> None:
    for name in arguments(member):
        if len(name) < 4:
            continue
        slip = name[1] + name[0] + name[2:]
        with pytest.raises(TypeError, match=rf"'{slip}'; did you mean .*{name}"):
            member([torch.ones(1, requires_grad=True)], **{slip: None})


@members
def test_torchs_amsgrad_is_named_where_it_is_taken(member: Member) -> None:
    taken = member in TORCHS
    for slip in ("amsgard", "amsgrads"):
        with pytest.raises(TypeError, match=f"no argument '{slip}'") as one:
            member([torch.ones(1, requires_grad=True)], **{slip: False})
        assert ("did you mean amsgrad?" in str(one.value)) == taken


TORCHS = {mementum.Adam: torch.optim.Adam, mementum.AdamW: torch.optim.AdamW}
torchs = pytest.mark.parametrize(("ours", "theirs"), TORCHS.items())


@torchs
def test_a_call_of_torchs_class_is_taken_word_for_word(ours: Any, theirs: Any) -> None:
    words = dict(inspect.signature(theirs).parameters)
    del words["params"]
    defaults = {name: word.default for name, word in words.items()}
    by_place = [
        word.default for word in words.values() if word.kind is not word.KEYWORD_ONLY
    ]
    (start,) = parameters(shapes=[(5,)])
    grads = gradients([start], 3)
    (expected,), _ = run(ours, [start], grads)
    (found,), optimizer = run(ours, [start], grads, **defaults)
    assert torch.equal(found, expected)
    ours([start.detach().clone().requires_grad_()], *by_place)
    for name, default in defaults.items():
        ours([torch.ones(1, requires_grad=True)], **{name: default})
        group = {"params": [torch.ones(1, requires_grad=True)], name: default}
        ours([group])
        optimizer.add_param_group(dict(group))
    saved = optimizer.state_dict()
    for group in saved["param_groups"]:
        group["amsgrad"] = False
    optimizer.load_state_dict(saved)


@torchs
def test_amsgrad_is_another_class(ours: Any, theirs: Any) -> None:
    (param,) = parameters(shapes=[(5,)])
    decoupled = ours.recipe.defaults["decoupled_weight_decay"]
    way = re.escape(f'AMSGrad(variant="torch", decoupled_weight_decay={decoupled})')
    with pytest.raises(ValueError, match=rf"^{ours.__name__}: .*{way}"):
        ours([param], amsgrad=True)
    optimizer = ours([param])
    with pytest.raises(ValueError, match=rf"^{ours.__name__}: .*{way}"):
        optimizer.add_param_group({"params": [torch.ones(2)], "amsgrad": True})
    with pytest.raises(ValueError, match=rf"^{ours.__name__}: .*{way}"):
        ours([{"params": [param], "amsgrad": True}])
    saved = optimizer.state_dict()
    saved["param_groups"][0]["amsgrad"] = True
    with pytest.raises(ValueError, match=rf"^{ours.__name__}: .*{way}"):
        optimizer.load_state_dict(saved)
    param.grad = torch.ones(5)
    optimizer.step()
    before = param.detach().clone()
    optimizer.param_groups[0]["amsgrad"] = True
    with pytest.raises(ValueError, match=rf"^{ours.__name__}: .*{way}"):
        optimizer.step()
    assert torch.equal(param, before)


@torchs
def test_the_way_to_amsgrad_is_torchs_amsgrad(ours: Any, theirs: Any) -> None:
    (start,) = parameters(torch.float64, [(5,)])
    grads = gradients([start], 8)
    words = ours.recipe.defaults
    options = {name: words[name] for name in ("weight_decay", "decoupled_weight_decay")}
    (found,), _ = run(mementum.AMSGrad, [start], grads, variant="torch", **options)
    (expected,), _ = run(theirs, [start], grads, amsgrad=True)
    # Some ten roundings a step.
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)


TOGETHER: dict[str, Options] = {
    "two paths": {"foreach": True, "fused": True},
    "foreach and autograd": {"foreach": True, "differentiable": True},
    "fused and autograd": {"fused": True, "differentiable": True},
    "fused and captured": {"fused": True, "capturable": True},
    "raising and captured": {"nonfinite": "raise", "capturable": True},
}


@kinds
@pytest.mark.parametrize("flags", TOGETHER.values(), ids=TOGETHER.keys())
def test_flags_that_contradict_each_other_are_refused(
    member: Member, flags: Options
) -> None:
    (param,) = parameters(shapes=[(3,)])
    with pytest.raises((ValueError, NotImplementedError)) as caught:
        member([param], **flags)
    assert str(caught.value).startswith(f"{member.__name__}: ")
    for name in flags if native.library() else ():
        assert name in str(caught.value)
    optimizer = member([param])
    optimizer.param_groups[0].update(flags)
    param.grad = torch.ones(3)
    with pytest.raises((ValueError, NotImplementedError)):
        optimizer.step()
    assert not optimizer.state


@kinds
def test_one_group_cannot_differ_in_being_differentiable(member: Member) -> None:
    first, second = parameters(shapes=[(3,), (3,)])
    with pytest.raises(ValueError, match=r"parameter group 1: .*differentiable"):
        member([{"params": [first]}, {"params": [second], "differentiable": True}])


@kinds
@pytest.mark.parametrize("flags", EAGER.values(), ids=EAGER.keys())
def test_the_path_that_was_asked_for_runs(member: Member, flags: Options) -> None:
    (param,) = parameters(shapes=[(3,)])
    text = member([param], **flags).explain().lower()
    names = {"fused": "native", "foreach": "foreach"}
    asked = [names[name] for name, wanted in flags.items() if wanted]
    if flags:
        assert f"run by {asked[0] if asked else 'loop'}" in text


@kinds
def test_without_the_compiled_kernel_everything_else_runs(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = parameters(shapes=[(5,)])
    grads = gradients(start, 3)
    expected, _ = run(member, start, grads)
    monkeypatch.setattr(native, "library", lambda: None)
    found, optimizer = run(member, start, grads)
    assert torch.equal(found[0], expected[0])
    assert "run by foreach" in optimizer.explain().lower()
    with pytest.raises(NotImplementedError, match=rf"^{member.__name__}: .*fused"):
        member(found, fused=True)


@pytest.mark.parametrize(
    ("variable", "read"),
    [("MEMENTUM_ISA", native.isa), ("MEMENTUM_THREADS", native.asks_for_own_threads)],
)
def test_an_empty_variable_is_an_unset_one(
    variable: str, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    unset = read.__wrapped__()
    monkeypatch.setenv(variable, "")
    assert read.__wrapped__() == unset


def test_an_unknown_instruction_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMENTUM_ISA", "sse9")
    with pytest.raises(ValueError, match="MEMENTUM_ISA is 'sse9'"):
        native.isa.__wrapped__()
    monkeypatch.setenv("MEMENTUM_ISA", "baseline")
    assert native.isa.__wrapped__() == 0
    monkeypatch.setenv("MEMENTUM_NATIVE", "0")
    assert native.library.__wrapped__() is None


def test_members_are_the_package() -> None:
    for member in MEMBERS:
        assert getattr(mementum, member.__name__) is member
        assert issubclass(member, FamilyOptimizer)
        assert issubclass(member, torch.optim.Optimizer)
    assert {m.__name__ for m in MEMBERS} <= set(dir(mementum))
    assert numbers_of(MEMBERS[0], 1)[1] is False
    with pytest.raises(AttributeError, match="no attribute 'Adamx'"):
        mementum.Adamx  # noqa: B018
