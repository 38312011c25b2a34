"""Reading an optimizer changes nothing in it, from however many threads."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from tests.torch.cases import (
    PATHS,
    Member,
    Options,
    bits_of,
    gradients,
    kinds,
    members,
    parameters,
    paths,
    run,
    same_bits,
)

from mementum import convert
from mementum.torch import FamilyOptimizer

READINGS: dict[str, Callable[[FamilyOptimizer], Any]] = {
    "state_dict": FamilyOptimizer.state_dict,
    "explain": FamilyOptimizer.explain,
    "telemetry": FamilyOptimizer.telemetry,
    "check": FamilyOptimizer.check,
    "named_params": lambda optimizer: list(optimizer.named_params()),
    "counts": lambda optimizer: (optimizer.skipped_steps, optimizer.clipped_steps),
    "gradient_norm": lambda optimizer: optimizer.gradient_norm,
    "repr": repr,
    "pickle": pickle.dumps,
    "deepcopy": copy.deepcopy,
    "a plan to adopt it": lambda optimizer: convert.adopt(
        optimizer, optimizer, dry_run=True
    ),
}
readings = pytest.mark.parametrize("read", READINGS.values(), ids=READINGS.keys())


class Unwritable(OrderedDict[Any, Any]):
    """Hooks that nobody may add to or take from."""

    def __setitem__(self, key: Any, value: Any) -> None:
        raise AssertionError(f"{key} is written")

    def __delitem__(self, key: Any) -> None:
        raise AssertionError(f"{key} is deleted")


def unwritable(hooks: OrderedDict[Any, Any]) -> Unwritable:
    """Return the same hooks in a mapping that can only be read."""
    copied = Unwritable()
    for key, hook in hooks.items():
        OrderedDict.__setitem__(copied, key, hook)
    return copied


@members
@paths({name: PATHS[name] for name in ("default", "capturable default")})
@readings
def test_a_reading_writes_nothing(
    member: Member,
    flags: Options,
    read: Callable[[FamilyOptimizer], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = parameters()
    _, optimizer = run(member, start, gradients(start, 2), clip_norm=1.0, **flags)
    for name, value in vars(optimizer).items():
        if name.endswith("_hooks"):
            setattr(optimizer, name, unwritable(value))
    attributes, before = dict(vars(optimizer)), bits_of(optimizer)
    groups = [dict(group) for group in optimizer.param_groups]
    states = {param: dict(kept) for param, kept in optimizer.state.items()}

    def set_elsewhere(self: Any, name: str, value: Any) -> None:
        assert self is not optimizer, f"{name} is set"
        object.__setattr__(self, name, value)

    monkeypatch.setattr(member, "__setattr__", set_elsewhere)
    read(optimizer)
    assert same_objects(vars(optimizer), attributes)
    assert all(map(same_objects, optimizer.param_groups, groups))
    assert list(optimizer.state) == list(states)
    assert all(map(same_objects, optimizer.state.values(), states.values()))
    assert same_bits(bits_of(optimizer), before)


def same_objects(now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether two mappings hold the same objects in the same order."""
    same = [now[name] is before[name] for name in before if name in now]
    return list(now) == list(before) and all(same)


@kinds
@readings
def test_many_threads_read_at_once(
    member: Member, read: Callable[[FamilyOptimizer], Any]
) -> None:
    start = parameters()
    _, optimizer = run(member, start, gradients(start, 2))
    together = Barrier(4)

    def repeatedly(_: int) -> None:
        together.wait()
        for _ in range(25):
            read(optimizer)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(repeatedly, range(4)))


@kinds
def test_state_dicts_may_be_asked_for_inside_a_hook(member: Member) -> None:
    _, optimizer = run(member, start := parameters(), gradients(start, 1))
    inner: list[Any] = []

    def again(which: FamilyOptimizer, saved: dict[str, Any]) -> None:
        assert saved["param_groups"][0]["format_version"]
        if not inner:
            inner.append(None)
            inner.append(which.state_dict())

    optimizer.register_state_dict_post_hook(again)
    outer = optimizer.state_dict()
    assert outer["param_groups"] == inner[1]["param_groups"]


@kinds
@pytest.mark.parametrize(
    "copied",
    [lambda o: o, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))],
    ids=["itself", "deepcopy", "pickle"],
)
def test_every_hook_sees_what_a_state_dict_says(member: Member, copied: Any) -> None:
    _, first = run(member, start := parameters(), gradients(start, 1))
    optimizer = copied(first)
    seen: list[str] = []

    def see(word: str) -> Any:
        def hook(which: FamilyOptimizer, saved: dict[str, Any]) -> None:
            assert which is optimizer
            assert saved["param_groups"][0]["format_version"]
            seen.append(word)

        return hook

    optimizer.register_state_dict_post_hook(see("second"))
    handle = optimizer.register_state_dict_post_hook(see("first"), prepend=True)
    optimizer.register_state_dict_post_hook(see("third"))
    optimizer.load_state_dict(first.state_dict())
    seen.clear()
    optimizer.state_dict()
    assert seen == ["first", "second", "third"]
    handle.remove()
    optimizer.state_dict()
    assert seen[3:] == ["second", "third"]
