"""What a step that raises leaves behind: no gradient that its owner has let go of."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tests.torch.cases import Options
from torch import Tensor
from torch.nn import Parameter

from mementum.torch import AdaX, FamilyOptimizer, step_in_backward

# torch says so itself whenever it traces through a hook, and on Python 3.13.0.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:DeprecationWarning", "ignore:Guards may run slower:RuntimeWarning"
)

Step = Callable[[FamilyOptimizer, Tensor], None]
Spoil = Callable[[FamilyOptimizer, Parameter], None]


@pytest.fixture(autouse=True)
def without_the_garbage_collector() -> Iterator[None]:
    torch.compiler.reset()
    gc.disable()
    yield
    gc.enable()


def _say(name: str, value: Any) -> Spoil:
    def spoil(optimizer: FamilyOptimizer, param: Parameter) -> None:
        optimizer.param_groups[1][name] = value

    return spoil


def _drop(name: str) -> Spoil:
    def spoil(optimizer: FamilyOptimizer, param: Parameter) -> None:
        del optimizer.param_groups[1][name]

    return spoil


def _drop_square(optimizer: FamilyOptimizer, param: Parameter) -> None:
    del optimizer.state[param]["square"]


def _reshape_square(optimizer: FamilyOptimizer, param: Parameter) -> None:
    optimizer.state[param]["square"] = torch.zeros(2)


def _empty_square(optimizer: FamilyOptimizer, param: Parameter) -> None:
    optimizer.state[param]["square"] = None


def _free_square(optimizer: FamilyOptimizer, param: Parameter) -> None:
    storage = optimizer.state[param]["square"].untyped_storage()
    if not storage.resizable():
        pytest.skip("this path keeps moments in memory that cannot be freed so")
    storage.resize_(0)


def _repeat_name(optimizer: FamilyOptimizer, param: Parameter) -> None:
    optimizer.param_groups[1]["param_names"] = ["weight", "weight"]


def _strange_lr(optimizer: FamilyOptimizer, param: Parameter) -> None:
    """Raise what is none of our errors."""

    class StrangeError(Exception):
        pass

    class Rate(float):
        def __float__(self) -> float:
            raise StrangeError

        __lt__ = __le__ = __gt__ = __ge__ = __float__

    optimizer.param_groups[1]["lr"] = Rate(0.1)


SPOILT: dict[str, Spoil] = {
    "lr below zero": _say("lr", -1.0),
    "lr of another type": _say("lr", "0.1"),
    "a flag": _say("fused", 3),
    "a storage": _say("state_dtype", "float9"),
    "an option that is not there": _drop("eps"),
    "a flag that is not there": _drop("foreach"),
    "no square": _drop_square,
    "a square that is no tensor": _empty_square,
    "a square of another shape": _reshape_square,
    "a square without memory": _free_square,
    "names": _repeat_name,
    "an error of lr's own": _strange_lr,
}
SPARSE = torch.ones(3).to_sparse()
NAN = torch.full((3,), float("nan"))
BAD: dict[str, tuple[Options, Tensor]] = {
    "sparse": ({}, SPARSE),
    "not finite": ({"nonfinite": "raise"}, NAN),
    "not finite, clipped": ({"nonfinite": "raise", "clip_norm": 1.0}, NAN),
}


def of_two_groups(take_step: Step, param: Parameter, **flags: Any) -> FamilyOptimizer:
    """Return an optimizer that has gathered a gradient before it comes to `param`."""
    first = Parameter(torch.ones(3))
    optimizer = AdaX([{"params": [first]}, {"params": [param]}], **flags)
    take_step(optimizer, torch.ones(3))
    return optimizer


def params_of(optimizer: FamilyOptimizer) -> list[Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def ordinary(optimizer: FamilyOptimizer, grad: Tensor) -> None:
    for param in params_of(optimizer):
        param.grad = grad.clone()
    optimizer.step()


def compiled(optimizer: FamilyOptimizer, grad: Tensor) -> None:
    for param in params_of(optimizer):
        param.grad = grad.clone()
    torch.compile(optimizer.step, fullgraph=True, backend="eager")()


def in_backward(optimizer: FamilyOptimizer, grad: Tensor) -> None:
    model = torch.nn.Module()
    for i, param in enumerate(params_of(optimizer)):
        model.register_parameter(str(i), param)
    with step_in_backward(model, lambda _: optimizer):
        torch.autograd.backward(params_of(optimizer), [grad.clone(), grad.clone()])


def all_freed_after_raising(
    take_step: Step, optimizer: FamilyOptimizer, grad: Tensor
) -> bool:
    """Whether gradients die with their owner's hold on them, without the collector."""
    try:
        take_step(optimizer, grad)
    except Exception:  # noqa: BLE001 - whatever it is, it is let go of
        pass
    else:
        pytest.fail("the step has raised nothing")
    params = params_of(optimizer)
    gone = [weakref.ref(param.grad) for param in params if param.grad is not None]
    assert gone
    optimizer.zero_grad()
    return all(ref() is None for ref in gone)


@pytest.mark.parametrize("take_step", [ordinary, compiled, in_backward])
@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_step_that_raises_keeps_no_gradient(take_step: Step, spoil: Spoil) -> None:
    param = Parameter(torch.ones(3))
    optimizer = of_two_groups(take_step, param)
    spoil(optimizer, param)
    assert all_freed_after_raising(take_step, optimizer, torch.ones(3))


@pytest.mark.parametrize("take_step", [ordinary, compiled])
@pytest.mark.parametrize(("flags", "grad"), BAD.values(), ids=BAD)
def test_a_gradient_that_is_refused_is_not_kept(
    take_step: Step, flags: Options, grad: Tensor
) -> None:
    optimizer = of_two_groups(take_step, Parameter(torch.ones(3)), **flags)
    assert all_freed_after_raising(take_step, optimizer, grad)
