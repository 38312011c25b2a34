"""Between steps an optimizer owns no tensor but its state."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tests.torch.cases import PATHS, Options
from torch import Tensor

from mementum import AMSGrad, step_in_backward
from mementum.torch import FamilyOptimizer
from mementum.torch.state.formats import STATE_DTYPES

SHAPES = [(8, 1_024), (7,), (0, 3)]

WAYS: dict[str, Options] = PATHS | {
    "clipped": {"clip_norm": 1.0},
    "skipping": {"nonfinite": "skip"},
    **{f"{dtype} state": {"state_dtype": dtype} for dtype in STATE_DTYPES},
    "capturable float8 state": {"capturable": True, "state_dtype": "float8"},
}


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What is freed must be freed by the last reference's end."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def model() -> torch.nn.Module:
    module = torch.nn.Module()
    for i, shape in enumerate(SHAPES):
        module.register_parameter(f"p{i}", torch.nn.Parameter(torch.ones(shape)))
    return module


def backward(module: torch.nn.Module) -> None:
    sum(p.square().sum() for p in module.parameters()).backward()


def ordinary(flags: Options) -> tuple[FamilyOptimizer, Callable[[], object]]:
    module = model()
    optimizer = AMSGrad([*module.named_parameters()], **flags)
    return optimizer, lambda: (backward(module), optimizer.step())


def in_groups(flags: Options) -> tuple[FamilyOptimizer, Callable[[], object]]:
    module = model()
    groups = [{"params": [p]} for p in module.parameters()]
    optimizer = AMSGrad(groups, **flags)
    return optimizer, lambda: (backward(module), optimizer.step())


def compiled(flags: Options) -> tuple[FamilyOptimizer, Callable[[], object]]:
    module = model()
    optimizer = AMSGrad([*module.parameters()], **flags)
    step = torch.compile(optimizer.step, backend="eager")
    return optimizer, lambda: (backward(module), step())


def in_backward(flags: Options) -> tuple[FamilyOptimizer, Callable[[], object]]:
    module = model()
    stepping = step_in_backward(module, lambda params: AMSGrad([*params], **flags))
    return stepping.optimizer, lambda: backward(module)


LOOPS = {each.__name__: each for each in (ordinary, in_groups, compiled, in_backward)}


def moments(optimizer: FamilyOptimizer) -> list[weakref.ref[Tensor]]:
    return [
        weakref.ref(value)
        for entry in optimizer.state.values()
        for value in entry.values()
        if isinstance(value, Tensor) and value.numel() > 1
    ]


def alive(references: list[weakref.ref[Any]]) -> int:
    return sum(reference() is not None for reference in references)


def replace_moments(optimizer: FamilyOptimizer) -> None:
    for entry in optimizer.state.values():
        for key, value in entry.items():
            if isinstance(value, Tensor):
                entry[key] = value.clone()


def cases() -> Iterator[Any]:
    for loop, begin in LOOPS.items():
        for way, flags in WAYS.items():
            refused = {"clip_norm", "nonfinite", "differentiable"} & set(flags)
            if (begin is in_backward and refused) or "differentiable" in flags:
                continue
            if begin is compiled and way not in ("default", "clipped", "float8 state"):
                continue
            yield pytest.param(begin, flags, id=f"{loop}-{way}")


@pytest.mark.parametrize(("begin", "flags"), [*cases()])
def test_what_a_user_takes_away_is_free(begin: Any, flags: Options) -> None:
    optimizer, step = begin(flags)
    for _ in range(3):
        step()
    kept = moments(optimizer)
    assert alive(kept) == len(kept) >= 4
    replace_moments(optimizer)
    assert alive(kept) == 0
    step()
    kept = moments(optimizer)
    optimizer.state.clear()
    assert alive(kept) == 0


@pytest.mark.parametrize(("begin", "flags"), [*cases()])
def test_parameters_taken_out_of_a_group_are_free(begin: Any, flags: Options) -> None:
    optimizer, step = begin(flags)
    for _ in range(3):
        step()
    # The loop goes with the model that it holds.
    del step
    gone = [weakref.ref(p) for group in optimizer.param_groups for p in group["params"]]
    for group in optimizer.param_groups:
        group["params"] = [torch.nn.Parameter(torch.zeros(3))]
        group.pop("param_names", None)
    optimizer.state.clear()
    # What torch ties together, hooks and compiled code, its collector unties.
    gc.collect()
    assert alive(gone) == 0
