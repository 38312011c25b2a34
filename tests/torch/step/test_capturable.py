"""Steps whose numbers are computed by torch ask the device for nothing."""

from __future__ import annotations

import pytest
import torch
from tests.torch.cases import (
    CAPTURABLE,
    Member,
    Options,
    bits_of,
    drive,
    give,
    gradients,
    kinds,
    members,
    parameters,
    paths,
    run,
    same_bits,
    settings,
    settings_and_paths,
    with_gaps,
)
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

READINGS = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.is_nonzero.default,
}


class NothingIsRead(TorchDispatchMode):
    """Refuse every operation that would wait for a device to answer."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func in READINGS or func.overloadpacket is torch.ops.aten.nonzero:
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


@settings_and_paths(CAPTURABLE)
@pytest.mark.parametrize("tensors", [False, True], ids=["plain", "tensors"])
def test_no_number_is_read_back(
    member: Member, options: Options, flags: Options, tensors: bool
) -> None:
    start = parameters()
    options = {"lr": 0.01} | options
    if tensors:
        options["lr"] = torch.tensor(0.01)
        if "betas" in member.recipe.defaults:
            betas = options.get("betas", member.recipe.defaults["betas"])
            options["betas"] = tuple(torch.tensor(beta) for beta in betas)
    params, optimizer = run(member, start, gradients(start, 1), **options, **flags)
    give(params, gradients(start, 1)[0])
    with NothingIsRead():
        optimizer.step()
    assert {int(optimizer.state[p]["step"]) for p in params} == {2}


def test_the_check_for_readings_sees_one() -> None:
    with NothingIsRead(), pytest.raises(AssertionError, match="waits"):
        float(torch.ones(()))


def test_no_number_leaves_a_device_without_values() -> None:
    # A meta tensor has no value to read: whatever asks for one raises.
    for flags in CAPTURABLE.values():
        param = torch.ones(3, device="meta", requires_grad=True)
        run(torch_member(), [param], [[torch.ones(3, device="meta")]] * 2, **flags)


def torch_member() -> Member:
    from mementum.torch import AMSGrad

    return AMSGrad


@settings
def test_a_captured_run_is_the_eager_one_to_a_few_roundings(
    member: Member, options: Options
) -> None:
    # Each number errs by at most 24 roundings more in float64 (see
    # test_reference_agreement), which rounding to float32 hides but for a last bit: a
    # step may differ by 2 ulps of itself, and of the parameter, 20 times.
    start = parameters()
    grads = with_gaps(gradients(start, 20))
    eager, _ = run(member, start, grads, **options)
    captured, _ = run(member, start, grads, capturable=True, **options)
    for a, b, p in zip(eager, captured, start, strict=True):
        largest = torch.maximum(p.abs(), b.abs()).detach() + 20 * 0.01
        assert (abs(a - b) <= 20 * 2 * 2.0**-23 * largest).all()


@members
@paths({"capturable": CAPTURABLE["capturable default"]})
def test_rates_and_betas_may_change_on_the_device(
    member: Member, flags: Options
) -> None:
    start = parameters(torch.float64, [(4,)])
    grads = gradients(start, 4)
    rate = torch.tensor(0.5, dtype=torch.float64)
    captured, optimizer = run(member, start, grads[:2], lr=rate, **flags)
    rate.fill_(0.125)
    drive(optimizer, captured, grads[2:])
    eager, other = run(member, start, grads[:2], lr=0.5)
    other.param_groups[0]["lr"] = 0.125
    drive(other, eager, grads[2:])
    torch.testing.assert_close(captured, eager, rtol=1e-13, atol=1e-13)


@pytest.fixture
def graph_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch say that a CUDA graph is being captured."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)


@kinds
@pytest.mark.usefixtures("graph_capture")
def test_a_capture_of_numbers_from_the_host_is_refused(member: Member) -> None:
    (param,) = parameters(shapes=[(3,)])
    optimizer = member([param])
    param.grad = torch.ones(3)
    with pytest.raises(RuntimeError, match=rf"^{member.__name__}: .*capturable=True"):
        optimizer.step()
    assert not optimizer.state
    member([param], capturable=True).step()


@members
def test_a_state_on_the_host_follows_when_capturing_begins(member: Member) -> None:
    start = parameters(torch.float64, [(4,), (3,)])
    grads = with_gaps(gradients(start, 10))
    params, optimizer = run(member, start, grads[:5])
    kept: list[Tensor] = [optimizer.state[p]["square"] for p in params]
    optimizer.param_groups[0]["capturable"] = True
    drive(optimizer, params, grads[5:])
    expected, _ = run(member, start, grads)
    torch.testing.assert_close(params, expected, rtol=1e-13, atol=1e-13)
    for param, square in zip(params, kept, strict=True):
        assert optimizer.state[param]["square"] is square


@kinds
def test_zero_size_parameters_are_counted(member: Member) -> None:
    empty = [torch.zeros(0, requires_grad=True)]
    _, optimizer = run(member, empty, [[torch.zeros(0)]] * 2, capturable=True)
    assert same_bits(bits_of(optimizer)[-1], torch.tensor(2))
