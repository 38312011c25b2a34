"""A step runs in the order of its stream, and the host does not wait for it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import pytest
import torch
from tests.torch.cases import Options, bits_of, parameters
from tests.torch.gpu.comparison import (
    FORMATS,
    LOOP,
    agrees,
    asked,
    constructed,
    draws,
    formats,
    placed,
    step,
)
from torch import Tensor

from mementum.torch import AMSGrad

SHAPES = ((5,), (17, 257))
# Clock ticks that a gradient is late by: some hundredths of a second.
_LATE = 50_000_000


def late_gradients(params: list[Tensor], grads: list[Tensor]) -> None:
    """Give parameters gradients that are there a while after this returns."""
    there = [grad.to(params[0].device) for grad in grads]
    if params[0].device.type == "cuda":
        torch.cuda._sleep(_LATE)
    for param, grad in zip(params, there, strict=True):
        param.grad = grad * 1


@formats
@pytest.mark.parametrize("steps_there", [True, False], ids=["same", "other"])
def test_a_late_gradient_of_another_stream_is_waited_for(
    form: str, steps_there: bool, cuda: torch.device
) -> None:
    """The step is on the stream of the gradient, or on one that waits for that one."""
    dtype, flags = FORMATS[form]
    here = parameters(dtype, SHAPES)
    there = placed(here, cuda)
    plain = AMSGrad(here, **flags, **LOOP)
    other = AMSGrad(there, **flags, **asked(cuda))
    for grads in draws(here, 3):
        step(plain, here, grads)
        with on_a_stream(cuda) as stream:
            late_gradients(there, grads)
            if steps_there:
                other.step()
        if stream is not None:
            torch.cuda.current_stream().wait_stream(stream)
        if not steps_there:
            other.step()
        for param in there:
            if stream is not None and param.grad is not None:
                # A later gradient of the stream must not take its place too early.
                param.grad.record_stream(torch.cuda.current_stream())
            param.grad = None
    assert agrees(bits_of(plain), bits_of(other))


@contextlib.contextmanager
def on_a_stream(device: torch.device) -> Iterator[torch.cuda.Stream | None]:
    """Run what follows on a new stream; the CPU has none."""
    if device.type == "cpu":
        yield None
        return
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield stream


@formats
def test_addresses_that_change_are_those_of_their_step(
    form: str, device: torch.device
) -> None:
    """The host runs ahead of the device, with other gradients for each step."""
    dtype, flags = FORMATS[form]
    here = parameters(dtype, SHAPES)
    there = placed(here, device)
    plain = AMSGrad(here, **flags, **LOOP)
    other = AMSGrad(there, **flags, **asked(device))
    each = list(draws(here, 8 if device.type != "cpu" else 3))
    ahead = [[grad.to(device) for grad in grads] for grads in each]
    for grads in each:
        step(plain, here, grads)
    if device.type == "cuda":
        torch.cuda._sleep(_LATE)
    for grads in ahead:
        for param, grad in zip(there, grads, strict=True):
            param.grad = grad
        other.step()
    assert agrees(bits_of(plain), bits_of(other))


WAITLESS: dict[str, Options] = {
    "plain": {},
    "clipped": {"clip_norm": 1.0},
    "capturable": {"capturable": True},
    "capturable, clipped and skipping": {
        "capturable": True,
        "clip_norm": 1.0,
        "nonfinite": "skip",
    },
}


@contextlib.contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Raise where the host waits for the device."""
    if device.type == "cpu":
        yield
        return
    with warnings.catch_warnings():
        # torch says that it does not notice all.
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


@formats
@pytest.mark.parametrize("flags", WAITLESS.values(), ids=WAITLESS)
def test_the_host_does_not_wait(form: str, flags: Options, cuda: torch.device) -> None:
    dtype, options = FORMATS[form]
    start = parameters(dtype, SHAPES)
    params = placed(start, cuda)
    optimizer = constructed(AMSGrad, params, **options, **flags, **asked(cuda))
    each = [[grad.to(cuda) for grad in grads] for grads in draws(start, 7)]
    for t, grads in enumerate(each):
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        with no_waiting(cuda) if t >= 3 else contextlib.nullcontext():
            optimizer.step()


def test_the_check_for_waiting_sees_it(cuda: torch.device) -> None:
    if cuda.type == "cpu":
        pytest.skip("the CPU has computed when a call returns")
    with pytest.raises(RuntimeError, match="synchroniz"), no_waiting(cuda):
        float(torch.ones((), device=cuda))
