"""What users do to parameters and state between steps is noticed."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import pytest
import torch
from tests.torch.cases import (
    EAGER,
    Member,
    Options,
    bits_of,
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

from mementum.torch import Adam, FamilyOptimizer

Change = Callable[[list[torch.Tensor], FamilyOptimizer], None]


def _no_state(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    optimizer.state.clear()


def _no_state_of_one(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    del optimizer.state[params[1]]


def _empty_state(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    optimizer.state[params[1]] = {}


def _copied_moments(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    for kept in optimizer.state.values():
        for name in ("momentum", "square"):
            kept[name] = kept[name].clone() * 2


def _moments_in_place(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    for kept in optimizer.state.values():
        kept["momentum"].zero_()


def _one_step_ahead(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    optimizer.state[params[0]]["step"] += 5


def _all_steps_ahead(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    for kept in optimizer.state.values():
        kept["step"] += 5


def _wider_moments(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    for kept in optimizer.state.values():
        for name in set(kept) - {"step"}:
            kept[name] = kept[name].double()


def _other_data(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    params[0].data = params[0].detach().clone() + 1


def _other_strides(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    params[2].data = params[2].detach().t().contiguous().t()


def _reversed_groups(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    optimizer.param_groups.reverse()


def _reversed_params(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    optimizer.param_groups[0]["params"].reverse()


def _fewer_params(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    optimizer.param_groups[0]["params"].pop(0)


def _other_rate(params: list[torch.Tensor], optimizer: FamilyOptimizer) -> None:
    optimizer.param_groups[0]["lr"] = 0.25


CHANGES: list[Change] = [
    _no_state,
    _no_state_of_one,
    _empty_state,
    _copied_moments,
    _moments_in_place,
    _one_step_ahead,
    _all_steps_ahead,
    _wider_moments,
    _other_data,
    _other_strides,
    _reversed_groups,
    _reversed_params,
    _fewer_params,
    _other_rate,
]


@kinds
@paths(EAGER)
@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__.strip("_"))
def test_a_change_between_steps_counts(
    member: Member, flags: Options, change: Change
) -> None:
    start = parameters(shapes=[(3,), (0,), (2, 4), (5,)])
    grads = gradients(start, 6)

    def walk(*, forget: bool) -> list[Any]:
        params = twins(start)
        optimizer = member([{"params": params[:3]}, {"params": params[3:]}], **flags)
        drive(optimizer, params, grads[:3])
        change(params, optimizer)
        for step in grads[3:]:
            if forget:
                # An optimizer that remembers nothing divides its parameters anew.
                optimizer.__setstate__(optimizer.__getstate__())
            give(params, step)
            optimizer.step()
        return [p.detach().clone() for p in params] + bits_of(optimizer)

    assert same_bits(walk(forget=False), walk(forget=True))


@kinds
@paths(EAGER)
def test_wider_moments_are_computed_with_and_kept(
    member: Member, flags: Options
) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        start = parameters(dtype, [(40,)])
        grads = gradients(start, 5)
        ends = []
        for each in (flags, {"foreach": False, "fused": False}):
            params, optimizer = run(member, start, grads[:1], **each)
            _wider_moments(params, optimizer)
            drive(optimizer, params, grads[1:])
            assert optimizer.state[params[0]]["square"].dtype == torch.float64
            ends.append(bits_of(optimizer))
        assert same_bits(ends[0], ends[1])


@pytest.mark.skipif(
    not hasattr(torch.Tensor, "grad_dtype"),
    reason="this torch refuses such a gradient",
)
@kinds
@paths(EAGER)
def test_a_gradient_may_be_wider_than_its_parameter(
    member: Member, flags: Options
) -> None:
    start = parameters(torch.bfloat16, [(40,), (3, 3)])
    grads = gradients([p.detach().float() for p in start], 4)
    ends = []
    for each in (flags, {"foreach": False, "fused": False}):
        params = twins(start)
        for param in params:
            param.grad_dtype = torch.float32
        optimizer = member(params, **each)
        drive(optimizer, params, grads)
        ends.append(bits_of(optimizer))
    assert same_bits(ends[0], ends[1])


@kinds
def test_a_changing_set_of_gradients_is_followed(member: Member) -> None:
    start = parameters(torch.float64, [(4,)] * 5)
    grads = gradients(start, 31)
    chosen = [
        [g if t >> i & 1 else None for i, g in enumerate(step)]
        for t, step in enumerate(grads)
    ]
    together, _ = run(member, start, chosen)
    for i, param in enumerate(together):
        (alone,), _ = run(member, [start[i]], [[step[i]] for step in chosen])
        assert same_bits(param, alone)


@kinds
@paths(EAGER)
def test_gradients_are_let_go(member: Member, flags: Options) -> None:
    (param,) = parameters(shapes=[(3,)])
    optimizer = member([param], **flags)
    param.grad = torch.ones(3)
    gone = weakref.ref(param.grad)
    optimizer.step()
    optimizer.zero_grad()
    assert gone() is None


@kinds
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
@pytest.mark.parametrize(
    ("end", "options"),
    [
        ("left out", {"nonfinite": "skip"}),
        ("raised", {"nonfinite": "raise"}),
        ("rehearsed", {"lr": 0.0}),
        ("raised below", {}),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_gradients_are_let_go_however_a_step_ends(
    member: Member,
    end: str,
    options: Options,
    known: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (param,) = parameters(shapes=[(3,)])
    optimizer = member([param], **options)
    if known:
        for _ in range(3):
            param.grad = torch.zeros(3)
            optimizer.step()
    param.grad = torch.full((3,), 0.0 if end == "rehearsed" else torch.nan)
    gone = weakref.ref(param.grad)
    if end == "raised below":
        monkeypatch.setattr("mementum.torch.step.procedure.numbers", _fail)
    if end.startswith("raised"):
        with pytest.raises(FloatingPointError):
            optimizer.step()
    else:
        optimizer.step()
    optimizer.zero_grad()
    assert gone() is None


def _fail(*arguments: object) -> NoReturn:
    raise FloatingPointError


@kinds
def test_an_optimizer_can_be_collected(member: Member) -> None:
    params, optimizer = run(member, start := parameters(), gradients(start, 2))
    gone = weakref.ref(optimizer)
    moment = weakref.ref(optimizer.state[params[0]]["square"])
    del optimizer
    gc.collect()
    assert gone() is None
    assert moment() is None


@kinds
@paths(EAGER)
def test_optimizers_in_several_threads_share_nothing(
    member: Member, flags: Options
) -> None:
    start = [parameters(shapes=[(3000,), (40, 50)], seed=i) for i in range(4)]

    def walk(params: list[torch.Tensor]) -> list[Any]:
        grads = gradients(params, 20)
        return bits_of(run(member, params, grads, **flags)[1])

    alone = [walk(params) for params in start]
    with ThreadPoolExecutor(4) as threads:
        assert same_bits(list(threads.map(walk, start)), alone)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@paths(EAGER)
def test_a_forked_child_steps(flags: Options) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = parameters(shapes=[(300_007,)])
        params, optimizer = run(Adam, start, gradients(start, 1), **flags)
        child = os.fork()
        if child == 0:
            try:
                optimizer.step()
            finally:
                os._exit(0 if optimizer.state[params[0]]["step"] == 2 else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(before)


def _renamed(optimizer: FamilyOptimizer, params: list[torch.Tensor]) -> None:
    optimizer.param_groups[0]["param_names"] = ["x", "y"]


def _renamed_in_place(optimizer: FamilyOptimizer, params: list[torch.Tensor]) -> None:
    optimizer.param_groups[0]["param_names"][1] = "y"


def _longer_list_before(optimizer: FamilyOptimizer, params: list[torch.Tensor]) -> None:
    optimizer.param_groups[0]["params"].append(params[2])


@pytest.mark.parametrize("change", [_renamed, _renamed_in_place, _longer_list_before])
def test_noise_follows_the_names_and_places_there_are(
    change: Callable[[FamilyOptimizer, list[torch.Tensor]], None],
) -> None:
    """A remembered division gives the bits of one that is made anew."""
    start = parameters(shapes=[(300,)] * 3)
    grads = gradients(start, 7)

    def walk(*, forget: bool) -> list[Any]:
        params = twins(start)
        named = change is not _longer_list_before
        groups = (
            [[("a", params[0]), ("b", params[1])]]
            if named
            else [[p] for p in params[:2]]
        )
        optimizer = Adam(
            [{"params": group} for group in groups], state_dtype="bfloat16"
        )
        drive(optimizer, params[:2], [step[:2] for step in grads[:4]])
        change(optimizer, params)
        for step in grads[4:]:
            if forget:
                optimizer.__setstate__(optimizer.__getstate__())
            give(params[:2], step[:2])
            optimizer.step()
        return bits_of(optimizer)

    assert same_bits(walk(forget=False), walk(forget=True))
