"""Several devices in one optimizer, and one parameter over several devices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from tests.distributed.pool import Pool
from tests.torch.cases import bits_of, parameters
from tests.torch.gpu.comparison import (
    FORMATS,
    LOOP,
    agrees,
    asked,
    draws,
    formats,
    placed,
    step,
)
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mementum.torch import AMSGrad


def two(device: torch.device) -> list[torch.device]:
    """Return two devices of a kind, or skip the test; the CPU is both of its kind."""
    if device.type == "cpu":
        return [device, device]
    if torch.get_device_module(device).device_count() < 2:
        pytest.skip("there is one GPU here")
    return [torch.device(device.type, i) for i in range(2)]


@formats
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_parameters_may_lie_on_two_devices(
    form: str, clip_norm: float | None, device: torch.device
) -> None:
    dtype, flags = FORMATS[form]
    here = parameters(dtype, [(5,), (17, 257)])
    there = [placed([p], at)[0] for p, at in zip(here, two(device), strict=True)]
    plain = AMSGrad(here, clip_norm=clip_norm, **flags, **LOOP)
    other = AMSGrad(there, clip_norm=clip_norm, **flags, **asked(device))
    for grads in draws(here, 2):
        # Norms are the same to the last place or so; that of one number is exact.
        kept = grads if clip_norm is None else [g.zero_() for g in grads]
        if clip_norm is not None:
            kept[0].view(-1)[0] = 3.0
        step(plain, here, kept)
        step(other, there, kept)
    assert agrees(bits_of(plain), bits_of(other))


def test_a_second_device_is_stepped_while_the_first_is_current(
    device: torch.device,
) -> None:
    here = parameters(shapes=[(17, 257)])
    there = placed(here, two(device)[1])
    plain, other = AMSGrad(here, **LOOP), AMSGrad(there, **asked(device))
    for grads in draws(here, 2):
        step(plain, here, grads)
        step(other, there, grads)
    assert agrees(bits_of(plain), bits_of(other))


RANKS = 2


def join(rank: int, size: int, store: str) -> None:
    """Make a process group of two processes, with a GPU each where there are two."""
    on_gpus = torch.cuda.device_count() >= RANKS
    if on_gpus:
        torch.cuda.set_device(rank)
    dist.init_process_group(
        "nccl" if on_gpus else "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=60),
    )


def sharded_differs(form: str, kind: str) -> int:
    """Return how much a model of FSDP2 differs after steps from the whole on a CPU."""
    dtype, flags = FORMATS[form]
    device = torch.device(kind, dist.get_rank() if kind == "cuda" else None)
    torch.manual_seed(0)
    whole = torch.nn.Linear(257, 34).to(dtype)
    spread = torch.nn.Linear(257, 34).to(device, dtype)
    spread.load_state_dict(whole.state_dict())
    fully_shard(spread)
    plain = AMSGrad(whole.named_parameters(), **flags, **LOOP)
    other = AMSGrad(spread.named_parameters(), **flags, **asked(device))
    params = list(whole.parameters())
    for grads in draws(params, 3):
        step(plain, params, grads)
        for param, grad in zip(spread.parameters(), grads, strict=True):
            assert isinstance(param, DTensor)
            param.grad = distribute_tensor(
                grad.to(device), param.device_mesh, param.placements, src_data_rank=None
            )
        other.step()
    expected, found = bits_of(plain), bits_of(other)
    gathered = [x.full_tensor() if isinstance(x, DTensor) else x for x in found]
    return int(not agrees(expected, gathered))


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    processes = Pool(RANKS, join)
    yield processes
    processes.close()


@pytest.mark.process
@pytest.mark.parametrize("form", ["float32", "bfloat16 with noise", "float32+float8"])
def test_two_ranks_step_as_the_whole_does(
    form: str, cuda: torch.device, pool: Pool
) -> None:
    two(cuda)
    if cuda.type == "cpu" and torch.cuda.device_count() >= RANKS:
        pytest.skip("the processes are on GPUs")
    assert pool.run(sharded_differs, form, cuda.type) == [0] * RANKS
