"""What cannot be stepped in the backward pass is refused, and nothing has changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.torch.cases import Member, bits_of, kinds, same_bits
from tests.torch.integrations.tied import batches, built, loss_of, make
from torch.nn import Module

from mementum.torch import AdamW, AdaX, step_in_backward


@kinds
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip_norm", 1.0),
        ("nonfinite", "skip"),
        ("nonfinite", "raise"),
        ("differentiable", True),
    ],
)
def test_what_needs_all_gradients_is_refused(
    member: Member, name: str, value: Any
) -> None:
    message = rf"^{member.__name__}: {name} is {value!r} in step_in_backward, but"
    model = built()
    with pytest.raises(ValueError, match=message):
        step_in_backward(model, make(member, **{name: value}))
    assert all(not param._post_accumulate_grad_hooks for param in model.parameters())
    if name != "differentiable":
        steps = step_in_backward(model, make(member))
        steps.optimizer.param_groups[0][name] = value
        before = bits_of(steps.optimizer)
        with pytest.raises(ValueError, match=message):
            loss_of(model, batches(1)[0]).backward()
        assert same_bits(bits_of(steps.optimizer), before)


@kinds
@pytest.mark.parametrize("trained", [False, True], ids=["new", "trained"])
def test_another_storage_is_refused(member: Member, trained: bool) -> None:
    model = built()
    steps = step_in_backward(model, make(member))
    if trained:
        loss_of(model, batches(1)[0]).backward()
    before = bits_of(steps.optimizer)
    steps.optimizer.param_groups[0]["state_dtype"] = "bfloat16"
    message = rf"^{member.__name__}: state_dtype has become 'bfloat16', and the moments"
    with pytest.raises(ValueError, match=message):
        loss_of(model, batches(1)[0]).backward()
    assert same_bits(bits_of(steps.optimizer), before)


@kinds
def test_a_scaler_is_refused(member: Member) -> None:
    model = built()
    steps = step_in_backward(model, make(member))
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(loss_of(model, batches(1)[0])).backward()
    message = rf"^{member.__name__}: a GradScaler knows"
    with pytest.raises(RuntimeError, match=message):
        scaler.step(steps.optimizer)


def test_what_is_no_optimizer_of_ours_is_refused() -> None:
    with pytest.raises(TypeError, match="make_optimizer returned SGD"):
        step_in_backward(built(), torch.optim.SGD)  # type: ignore[arg-type]
    stranger = torch.ones(3, requires_grad=True)
    message = "parameter 'x' is not the model's"
    with pytest.raises(ValueError, match=message):
        step_in_backward(built(), lambda params: AdamW([*params, ("x", stranger)]))


def test_arguments_of_other_kinds_are_refused() -> None:
    model: Any = [torch.nn.Parameter(torch.ones(3))]
    with pytest.raises(TypeError, match=r"^step_in_backward: model is list"):
        step_in_backward(model, make(AdaX))
    optimizer: Any = AdaX(built().parameters())
    message = "^step_in_backward: make_optimizer is AdaX; it is a function"
    with pytest.raises(TypeError, match=message):
        step_in_backward(built(), optimizer)


def test_a_wrapper_that_adds_up_gradients_later_is_refused() -> None:
    class DistributedDataParallel(Module):
        pass

    with pytest.raises(ValueError, match="the model is a DistributedDataParallel"):
        step_in_backward(DistributedDataParallel(), make(AdaX))


@kinds
def test_a_second_optimizer_of_the_same_parameters_is_refused(member: Member) -> None:
    model = built()
    steps = step_in_backward(model, make(member))
    message = rf"'first.weight' is stepped in the .* already, by {member.__name__}"
    with pytest.raises(ValueError, match=message):
        step_in_backward(model, make(member))
    loss_of(model, batches(1)[0]).backward()
    assert steps.optimizer.state
    steps.remove()
    again = step_in_backward(model, make(member))
    loss_of(model, batches(1)[0]).backward()
    assert again.optimizer.state


@kinds
def test_names_that_outnumber_the_parameters_are_refused(member: Member) -> None:
    model = built()
    optimizer = step_in_backward(model, make(member)).optimizer
    optimizer.param_groups[0]["param_names"].pop()
    message = rf"^{member.__name__}: a group has 4 params and 3 param_names"
    with pytest.raises(ValueError, match=message):
        loss_of(model, batches(1)[0]).backward()
    assert not optimizer.state
