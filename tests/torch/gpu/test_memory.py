"""Where a step finds its operands, and how much memory it takes, changes no bit."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable

import pytest
import torch
from tests.torch.cases import Options, bits_of, give, numbers_of, parameters
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

from mementum.bench.gpu.device import opened
from mementum.family.rule import Coefficients
from mementum.torch import AdamW, AMSGrad
from mementum.torch.backends import loop
from mementum.torch.backends.bucket import Bucket
from mementum.torch.state.rounding import Numbering

# What a step may allocate: a table of addresses and the like.
A_FEW = 4 << 20
OPERANDS = ("param", "grad", "momentum", "square", "peak")


def shifted(tensor: Tensor, by: int) -> Tensor:
    """Return a copy that begins some elements after the begin of its memory."""
    room = torch.empty(tensor.numel() + by, dtype=tensor.dtype, device=tensor.device)
    return room[by:].view(tensor.shape).copy_(tensor.detach())


@formats
@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize("by", [1, 3])
def test_odd_offsets_change_nothing(
    form: str, operand: str, by: int, device: torch.device
) -> None:
    dtype, flags = FORMATS[form]
    here = parameters(dtype, [(17, 257)])
    (there,) = placed(here, device)
    if operand == "param":
        there = shifted(there, by).requires_grad_()
    plain = AMSGrad(here, **flags, **LOOP)
    other = AMSGrad([there], **flags, **asked(device))
    for grads in draws(here, 2):
        step(plain, here, grads)
        there.grad = grads[0].to(device)
        if operand == "grad":
            there.grad = shifted(there.grad, by)
        other.step()
        for name in (operand, f"{operand}_scale"):
            if name in other.state[there]:
                moved = shifted(other.state[there][name], by)
                other.state[there][name] = moved
    assert agrees(bits_of(plain), bits_of(other))


STRIDES: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda x: x.t().contiguous().t(),
    "every second": lambda x: torch.stack([x, x], -1)[..., 0],
    "repeated": lambda x: x[:1].expand_as(x),
    "a slice": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
}


@formats
@pytest.mark.parametrize("strides", STRIDES)
def test_strides_of_gradients_change_nothing(
    form: str, strides: str, device: torch.device
) -> None:
    dtype, flags = FORMATS[form]
    here = parameters(dtype, [(17, 257)])
    (there,) = placed(here, device)
    plain = AMSGrad(here, **flags, **LOOP)
    other = AMSGrad([there], **flags, **asked(device))
    for (grad,) in draws(here, 2):
        laid = STRIDES[strides](grad)
        give(here, [laid.contiguous()])
        plain.step()
        there.grad = STRIDES[strides](grad.to(device))
        assert not there.grad.is_contiguous()
        other.step()
    assert agrees(bits_of(plain), bits_of(other))


@formats
def test_channels_last_changes_nothing(form: str, device: torch.device) -> None:
    dtype, flags = FORMATS[form]
    here = parameters(dtype, [(8, 16, 6, 7)])
    last = torch.channels_last
    there = here[0].detach().to(device, memory_format=last).requires_grad_()
    plain = AMSGrad(here, **flags, **LOOP)
    other = AMSGrad([there], **flags, **asked(device))
    for (grad,) in draws(here, 2):
        give(here, [grad])
        plain.step()
        there.grad = grad.to(device).contiguous(memory_format=last)
        other.step()
    assert there.is_contiguous(memory_format=last)
    assert agrees(bits_of(plain), bits_of(other))


def sliced(param: Tensor, grads: list[Tensor], begin: int, size: int) -> Bucket:
    """Return the bucket, after steps in the loop, of a slice of a parameter."""
    part = slice(begin, begin + size)
    own = param.detach()[part].to("cpu", copy=True)
    bucket = Bucket(rounds_params=True, numberings=[Numbering(begin, (1,))])
    bucket.places, bucket.params, bucket.owners = [0], [own], [own]
    bucket.momentum = [torch.zeros_like(own)]
    bucket.square = [torch.zeros_like(own)]
    for t, grad in enumerate(grads, start=1):
        bucket.step, bucket.grads = t, [grad[part].cpu()]
        numbers, _ = numbers_of(AdamW, t)
        loop.update(Coefficients(*array("f", numbers)), bucket)
    return bucket


def test_elements_beyond_two_to_the_31_are_stepped_and_numbered(
    device: torch.device,
) -> None:
    elements = 2**31 + 3 if device.type != "cpu" else 3_001
    if device.type != "cpu" and (opened(str(device)).free() or 0) < elements * 12:
        pytest.skip("the GPU has too little free memory")
    around = [0, elements // 2, elements - 1_027]
    source = torch.Generator(device).manual_seed(0)
    half = {"dtype": torch.bfloat16, "device": device}
    param = torch.empty(elements, **half).normal_(generator=source)
    grad = torch.empty(elements, **half).normal_(generator=source)
    expected = [sliced(param, [grad] * 2, begin, 1_027) for begin in around]
    flags: Options = {"state_dtype": "bfloat16", "stochastic_rounding": True}
    optimizer = AdamW([param.requires_grad_()], **flags, **asked(device))
    for _ in range(2):
        param.grad = grad
        optimizer.step()
    kept = optimizer.state[param]
    for begin, bucket in zip(around, expected, strict=True):
        part = slice(begin, begin + 1_027)
        assert agrees(bucket.params[0], param[part])
        assert agrees(bucket.momentum[0], kept["momentum"][part])
        assert agrees(bucket.square[0], kept["square"][part])


ASKED: dict[str, Options] = {
    "plain": {},
    "clipped": {"clip_norm": 1.0},
    "skipping": {"nonfinite": "skip"},
    "capturable": {"capturable": True, "clip_norm": 1.0, "nonfinite": "skip"},
}


@pytest.mark.parametrize("flags", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("form", ["float32", "float32+bfloat16", "bfloat16+float32"])
def test_a_step_allocates_nothing_as_large_as_a_tensor(
    form: str, flags: Options, device: torch.device
) -> None:
    dtype, options = FORMATS[form]
    size = 4_096 if device.type != "cpu" else 8
    start = [torch.zeros(size, size, dtype=dtype)] * 2
    params = placed(start, device)
    optimizer = constructed(AdamW, params, **options, **flags, **asked(device))
    for param in params:
        param.grad = torch.randn_like(param)
    for _ in range(3):
        optimizer.step()
    gc.collect()
    assert (opened(str(device)).peak(optimizer.step) or 0) < A_FEW


def test_a_dropped_parameter_is_freed(device: torch.device) -> None:
    """Between steps nothing is kept of what a user replaces."""
    (param,) = placed(parameters(shapes=[(1_000, 100)]), device)
    optimizer = AdamW([param], **asked(device))
    for _ in range(3):
        param.grad = torch.ones_like(param)
        optimizer.step()
    if device.type == "cpu":
        return
    module = torch.get_device_module(device)
    module.synchronize()
    before = module.memory_allocated(device)
    param.grad = None
    optimizer.state[param]["square"] = torch.empty(0, device=device)
    assert module.memory_allocated(device) <= before - 2 * param.nbytes
