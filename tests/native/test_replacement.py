"""What users do to parameters, gradients and state between steps is honoured."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.native import kernel
from tests.native.cases import REAL
from torch import Tensor, nn

from mementum.torch import AdamW, AdaX, AMSGrad, FamilyOptimizer

Change = Callable[[FamilyOptimizer, Tensor], None]
PATHS: dict[str, dict[str, Any]] = {
    "fastest": {},
    "foreach": {"foreach": True},
    "loop": {"foreach": False},
}
paths = pytest.mark.parametrize("flags", PATHS.values(), ids=PATHS.keys())


def moment(name: str, to: Callable[[Tensor], Tensor]) -> Change:
    def change(optimizer: FamilyOptimizer, param: Tensor) -> None:
        state = optimizer.state[param]
        old, state[name] = state[name], to(state[name])
        old.fill_(torch.nan)

    return change


def data(to: Callable[[Tensor], Tensor]) -> Change:
    def change(optimizer: FamilyOptimizer, param: Tensor) -> None:
        old, param.data = param.data, to(param.data)
        old.fill_(torch.nan)

    return change


def transposed(tensor: Tensor) -> Tensor:
    """Return the same values, with the first dimension fastest in memory."""
    return tensor.clone().t().contiguous().t()


def sliced(tensor: Tensor) -> Tensor:
    wide = torch.full((*tensor.shape, 3), torch.nan, dtype=tensor.dtype)
    wide[..., 1] = tensor
    return wide[..., 1]


def reload(optimizer: FamilyOptimizer, param: Tensor) -> None:
    saved = copy.deepcopy(optimizer.state_dict())
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, Tensor):
                value.fill_(torch.nan)
    optimizer.load_state_dict(saved)


def rebuilt(optimizer: FamilyOptimizer, param: Tensor) -> None:
    state = copy.deepcopy(optimizer.state[param])
    for value in optimizer.state[param].values():
        if isinstance(value, Tensor):
            value.fill_(torch.nan)
    optimizer.state[param] = state


SAME_VALUES: dict[str, Change] = {
    "nothing": lambda _, __: None,
    "momentum cloned": moment("momentum", torch.clone),
    "square cloned": moment("square", torch.clone),
    "peak cloned": moment("peak", torch.clone),
    "momentum transposed": moment("momentum", transposed),
    "square in a wider tensor": moment("square", sliced),
    "peak in a wider tensor": moment("peak", sliced),
    "parameter cloned": data(torch.clone),
    "parameter transposed": data(transposed),
    "parameter in a wider tensor": data(sliced),
    "state rebuilt": rebuilt,
    "state loaded": reload,
}


@paths
@pytest.mark.parametrize("change", SAME_VALUES.values(), ids=SAME_VALUES.keys())
def test_what_is_moved_between_steps_is_followed(
    change: Change, flags: dict[str, Any]
) -> None:
    """Values that stay, in new memory of any strides, give the same bits."""

    def train(between: Change) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1)
        param = nn.Parameter(torch.randn(37, 41, generator=generator))
        optimizer = AMSGrad([param], variant="torch", **flags)
        for step in range(6):
            param.grad = torch.randn(37, 41, generator=generator)
            optimizer.step()
            if step in (1, 3):
                between(optimizer, param)
        moments = optimizer.state[param]
        return [param.detach(), moments["momentum"], moments["square"], moments["peak"]]

    expected = train(SAME_VALUES["nothing"])
    assert all(map(torch.equal, train(change), expected))


@paths
@pytest.mark.parametrize("before", REAL, ids=str)
@pytest.mark.parametrize("after", REAL, ids=str)
def test_a_model_of_another_dtype_goes_on_with_its_moments(
    before: torch.dtype, after: torch.dtype, flags: dict[str, Any]
) -> None:
    def train(**flags: Any) -> tuple[Tensor, dict[str, Any]]:
        torch.manual_seed(1)
        model = nn.Linear(40, 30).to(before)
        optimizer = AdamW(model.parameters(), **flags)
        for step in range(4):
            if step == 2:
                model.to(after)
            for param in model.parameters():
                flat = torch.linspace(-1, 1, param.numel(), dtype=param.dtype)
                param.grad = flat.view(param.shape)
            optimizer.step()
        return model.weight.detach(), optimizer.state[model.weight]

    weight, state = train(**flags)
    expected, expected_state = train(foreach=False)
    assert weight.dtype == after
    assert torch.equal(weight, expected)
    assert state["step"] == 4
    for name in ("momentum", "square"):
        assert torch.equal(state[name], expected_state[name])


@paths
def test_moments_of_two_dtypes_are_each_read_as_they_are(flags: dict[str, Any]) -> None:
    """A state dict may have been converted in part."""

    def train(convert: Callable[[Tensor], Tensor]) -> Tensor:
        param = nn.Parameter(torch.linspace(1, 2, 100))
        optimizer = AdamW([param], lr=0.1, **flags)
        param.grad = torch.linspace(-1, 1, 100)
        optimizer.step()
        saved = optimizer.state_dict()
        saved["state"][0]["square"] = convert(saved["state"][0]["square"])
        optimizer.load_state_dict(saved)
        optimizer.step()
        return param.detach()

    # A square that is read as what it is moves the parameter as before, to rounding.
    difference = train(Tensor.double) - train(Tensor.float)
    assert difference.abs().max() < 1e-6


@paths
@pytest.mark.parametrize("name", ["square", "momentum"])
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str
)
def test_a_moment_given_another_dtype_by_hand_is_read_as_it_is_or_refused(
    name: str, dtype: torch.dtype, flags: dict[str, Any]
) -> None:
    def train(change: Change) -> Tensor:
        param = nn.Parameter(torch.linspace(1, 2, 100))
        optimizer = AdamW([param], lr=0.1, **flags)
        param.grad = torch.ones(100)
        optimizer.step()
        change(optimizer, param)
        optimizer.step()
        return param.detach()

    expected = train(SAME_VALUES["nothing"])
    try:
        found = train(moment(name, lambda tensor: tensor.to(dtype)))
    except (TypeError, ValueError, RuntimeError) as error:
        said = str(error).lower()
        assert "format" in said or str(dtype).removeprefix("torch.") in said
        return
    # Both steps are lr long, and a moment of 8 bits is off by 2**-9 of itself at most.
    assert (found - expected).abs().max() < 0.1 * 2**-7


SHAPES: dict[str, Change] = {
    "a larger parameter": data(lambda _: torch.ones(200)),
    "a smaller parameter": data(lambda _: torch.ones(50)),
    "a shorter momentum": moment("momentum", lambda m: m[:7].clone()),
    "a shorter square": moment("square", lambda v: v[:7].clone()),
    "a longer square": moment("square", lambda _: torch.ones(200)),
    "a shorter peak": moment("peak", lambda k: k[:7].clone()),
    "a momentum without memory": moment("momentum", lambda m: m.to("meta")),
}


@paths
@pytest.mark.parametrize("fresh", [False, True], ids=["old gradient", "new gradient"])
@pytest.mark.parametrize("change", SHAPES.values(), ids=SHAPES.keys())
def test_tensors_that_no_longer_fit_are_refused(
    change: Change, fresh: bool, flags: dict[str, Any]
) -> None:
    """Nothing is read or written past an end."""
    param = nn.Parameter(torch.ones(100))
    optimizer = AMSGrad([param], **flags)
    param.grad = torch.ones(100)
    optimizer.step()
    change(optimizer, param)
    if fresh:
        param.grad = torch.ones_like(param)
    with pytest.raises((RuntimeError, ValueError)):
        optimizer.step()


@paths
def test_a_gradient_that_torch_negates_lazily_is_negated(flags: dict[str, Any]) -> None:
    grad = torch.complex(torch.ones(9), torch.linspace(1, 2, 9)).conj().imag
    assert grad.is_neg()
    param = nn.Parameter(torch.ones(9))
    optimizer = AdamW([param], lr=0.1, weight_decay=0.0, **flags)
    param.grad = grad
    optimizer.step()
    assert (param > 1).all()


@paths
@pytest.mark.parametrize("part", ["real", "complex"])
def test_a_parameter_that_is_a_lazy_view_is_updated_or_refused(
    part: str, flags: dict[str, Any]
) -> None:
    values = torch.complex(torch.ones(9), torch.ones(9)).conj()
    param = nn.Parameter(values if part == "complex" else values.imag)
    before = param.detach().clone()
    try:
        optimizer = AdamW([param], lr=0.1, weight_decay=0.0, **flags)
    except (TypeError, ValueError, RuntimeError):
        return
    param.grad = torch.ones_like(before)
    optimizer.step()
    after = param.detach().resolve_conj().resolve_neg()
    if part == "complex":
        after = torch.view_as_real(after)
    torch.testing.assert_close(after, _after(before))


def _after(before: Tensor) -> Tensor:
    """Return values after a first step of 0.1 along a gradient of one."""
    if not before.is_complex():
        return before - 0.1
    parts = torch.view_as_real(before.resolve_conj()).clone()
    parts[:, 0] -= 0.1
    return parts


@paths
@pytest.mark.parametrize("shape", [(1_000,), (100, 10)])
def test_a_gradient_dies_with_its_last_owner(
    shape: tuple[int, ...], flags: dict[str, Any]
) -> None:
    """The optimizer keeps no gradient alive, whose memory its owner may want back."""
    params = [nn.Parameter(torch.ones(shape)), nn.Parameter(torch.ones(shape).cfloat())]
    optimizer = AdaX(params, **flags)
    for _ in range(3):
        for param in params:
            param.grad = torch.ones_like(param)
        remembered = [weakref.ref(param.grad) for param in params]
        optimizer.step()
        optimizer.zero_grad()
        assert [grad() for grad in remembered] == [None, None]


@paths
def test_state_that_was_replaced_is_freed_at_the_next_step(
    flags: dict[str, Any],
) -> None:
    param = nn.Parameter(torch.ones(100))
    optimizer = AdaX([param], **flags)
    param.grad = torch.ones(100)
    optimizer.step()
    state = optimizer.state[param]
    old = weakref.ref(state["square"])
    state["square"] = state["square"].clone()
    optimizer.step()
    gc.collect()
    assert old() is None


@paths
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
def test_autograd_sees_that_a_step_changes_a_parameter(
    dtype: torch.dtype, flags: dict[str, Any]
) -> None:
    param = nn.Parameter(torch.ones(10, dtype=dtype))
    optimizer = AdamW([param], **flags)
    loss = (param * param).abs().sum()
    param.grad = torch.ones_like(param)
    version = param._version
    optimizer.step()
    assert param._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@paths
def test_a_step_under_inference_mode_is_a_step(flags: dict[str, Any]) -> None:
    def train(mode: Any) -> Tensor:
        params = [nn.Parameter(torch.ones(10)), nn.Parameter(torch.ones(3).cfloat())]
        optimizer = AdamW(params, **flags)
        for _ in range(2):
            for param in params:
                param.grad = torch.ones_like(param).detach()
            with mode():
                optimizer.step()
        return torch.cat([param.detach().abs() for param in params])

    assert torch.equal(train(torch.inference_mode), train(torch.no_grad))


def repeated(tensor: Tensor) -> Tensor:
    """Return a tensor of the same shape, all of whose elements are one."""
    return torch.zeros(1, dtype=tensor.dtype).expand(tensor.shape)


@paths
@pytest.mark.parametrize(
    "change", [data(repeated), moment("momentum", repeated), moment("peak", repeated)]
)
def test_memory_that_repeats_is_refused(change: Change, flags: dict[str, Any]) -> None:
    param = nn.Parameter(torch.ones(4, 5))
    optimizer = AMSGrad([param], **flags)
    for step in range(4):
        param.grad = torch.arange(20.0).view(4, 5) + step
        if step == 3:
            change(optimizer, param)
            with pytest.raises(
                RuntimeError, match=r"one place in memory|single memory"
            ):
                optimizer.step()
        else:
            optimizer.step()


@kernel.needed
@pytest.mark.parametrize("options", [{}, {"clip_norm": 1.0}], ids=str)
def test_a_gradient_without_memory_is_refused(options: dict[str, Any]) -> None:
    param = nn.Parameter(torch.ones(50))
    optimizer = AdamW([param], **options)
    param.grad = torch._efficientzerotensor((50,))
    with pytest.raises(RuntimeError, match="no memory"):
        optimizer.step()
    assert torch.equal(param.detach(), torch.ones(50))


@paths
@pytest.mark.parametrize(
    "lazily", [[1, 0] * 5, [0, 0, 0, 0, 1, 0, 0, 0, 1, 1]], ids=str
)
def test_a_gradient_may_be_negated_lazily_in_some_steps(
    flags: dict[str, Any], lazily: list[int]
) -> None:
    """What the kernel was told of other memory in one step is not used in the next."""
    ends = []
    for lazy in (False, True):
        param = nn.Parameter(torch.linspace(-1, 1, 100_000))
        optimizer = AMSGrad([param], **flags)
        for step, negated in enumerate(lazily):
            grad = torch.linspace(1, 2 + step, 100_000)
            param.grad = torch._neg_view(-grad) if negated and lazy else grad
            optimizer.step()
        ends.append(param.detach().clone())
    assert torch.equal(*ends)
