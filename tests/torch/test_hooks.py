"""torch's hooks run around steps and state dicts, in torch's order."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, drive, gradients, kinds, members, parameters, run
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)


@kinds
def test_step_hooks_run_around_the_step(member: Member) -> None:
    params, optimizer = run(member, start := parameters(), gradients(start, 1))
    events: list[str] = []

    def log(name: str) -> Any:
        def hook(which: Any, args: Any, kwargs: Any) -> None:
            assert which is optimizer
            events.append(f"{name} {int(optimizer.state[params[0]]['step'])}")

        return hook

    handles = [
        optimizer.register_step_pre_hook(log("before")),
        optimizer.register_step_post_hook(log("after")),
        register_optimizer_step_pre_hook(log("before all")),
        register_optimizer_step_post_hook(log("after all")),
    ]
    drive(optimizer, params, gradients(start, 1))
    for handle in handles:
        handle.remove()
    drive(optimizer, params, gradients(start, 1))
    assert events == ["before all 1", "before 1", "after 2", "after all 2"]


@kinds
def test_a_pre_hook_may_replace_the_arguments(member: Member) -> None:
    (param,) = parameters(shapes=[(2,)])
    optimizer = member([param])
    optimizer.register_step_pre_hook(lambda o, *_: ((o, lambda: 7.0), {}))
    param.grad = torch.ones(2)
    assert optimizer.step() == 7.0


@kinds
def test_state_dict_hooks_see_and_replace_what_is_saved(member: Member) -> None:
    _, optimizer = run(member, start := parameters(), gradients(start, 1))
    events: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda _: events.append("before"))

    def add(o: Any, saved: dict[str, Any]) -> dict[str, Any]:
        events.append("after")
        return saved | {"note": "mine"}

    handle = optimizer.register_state_dict_post_hook(add)
    assert optimizer.state_dict()["note"] == "mine"
    handle.remove()
    assert "note" not in optimizer.state_dict()
    assert events == ["before", "after", "before"]


@kinds
def test_load_hooks_see_and_replace_what_is_loaded(member: Member) -> None:
    _, saved = run(member, start := parameters(), gradients(start, 3))
    _, optimizer = run(member, start, gradients(start, 1))
    events: list[str] = []

    def faster(o: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
        events.append("first")
        groups = copy.deepcopy(state_dict["param_groups"])
        groups[0]["lr"] = 0.5
        return state_dict | {"param_groups": groups}

    def look(o: Any, state_dict: dict[str, Any]) -> None:
        events.append(f"second sees {state_dict['param_groups'][0]['lr']}")

    def after(o: Any) -> None:
        events.append(f"after {o.param_groups[0]['lr']}")

    optimizer.register_load_state_dict_pre_hook(look)
    optimizer.register_load_state_dict_pre_hook(faster, prepend=True)
    optimizer.register_load_state_dict_post_hook(after)
    optimizer.load_state_dict(saved.state_dict())
    assert events == ["first", "second sees 0.5", "after 0.5"]
    assert saved.param_groups[0]["lr"] == member.recipe.lr


@members
def test_copies_step_like_the_original_and_share_nothing(member: Member) -> None:
    start = parameters()
    grads = gradients(start, 6)
    whole, _ = run(member, start, grads)
    for clone in (copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))):
        params, optimizer = run(member, start, grads[:3])
        before = [p.detach().clone() for p in params]
        twin = clone(optimizer)
        assert type(twin) is type(optimizer)
        public = {name for name in vars(optimizer) if not name.startswith("_")}
        assert public <= set(vars(twin))
        assert twin.skipped_steps == 0
        copies = twin.param_groups[0]["params"]
        drive(twin, copies, grads[3:])
        assert all(map(torch.equal, copies, whole))
        assert all(map(torch.equal, params, before))


@kinds
def test_a_copy_of_a_fresh_optimizer_can_be_hooked_and_stepped(member: Member) -> None:
    optimizer = pickle.loads(pickle.dumps(member(parameters(shapes=[(2,)]))))
    events: list[str] = []
    optimizer.register_step_post_hook(lambda *_: events.append("after"))
    (param,) = optimizer.param_groups[0]["params"]
    drive(optimizer, [param], gradients([param], 1))
    assert events == ["after"]


@members
def test_a_printed_optimizer_shows_its_hyperparameters(member: Member) -> None:
    text = repr(member(parameters(shapes=[(2,)]), lr=0.125))
    assert text.startswith(member.__name__)
    for name in (*member.recipe.defaults, "lr: 0.125", "nonfinite"):
        assert name in text


@members
def test_the_profiler_shows_a_step_under_its_optimizers_name(member: Member) -> None:
    (param,) = parameters(shapes=[(2,)])
    optimizer = member([param])
    param.grad = torch.ones(2)
    with torch.autograd.profiler.profile() as profile:
        optimizer.step()
    steps = [e.key for e in profile.key_averages() if "Optimizer.step" in e.key]
    assert steps == [f"Optimizer.step#{member.__name__}.step"]


@kinds
def test_a_subclass_may_wrap_the_step(member: Member) -> None:
    class Counting(member):  # type: ignore[valid-type, misc]
        calls = 0

        def step(self, closure: Any = None) -> Any:
            type(self).calls += 1
            return super().step(closure)

    (param,) = parameters(shapes=[(2,)])
    optimizer = Counting([param])
    drive(optimizer, [param], gradients([param], 2))
    assert Counting.calls == 2
    assert optimizer.state[param]["step"] == 2


@pytest.fixture(autouse=True)
def no_global_hooks_are_left() -> Any:
    from torch.optim import optimizer as torchs

    yield
    assert not torchs._global_optimizer_pre_hooks
    assert not torchs._global_optimizer_post_hooks
