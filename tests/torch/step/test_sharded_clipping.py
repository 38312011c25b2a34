"""The norm of shards is that of the whole gradients, in every process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROCESSES = 2
PROGRAM = """
import json, sys
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from mementum.torch.groups.options import EXECUTION
from mementum.torch.step.gradient_scaling import compute

rank, size, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
dist.init_process_group(
    "gloo", store=dist.FileStore(store, size), rank=rank, world_size=size
)
mesh = init_device_mesh("cpu", (size,))
generator = torch.Generator().manual_seed(0)
whole = [torch.randn(shape, generator=generator) for shape in [(5, 3), (4,), (1, 2), (7,)]]
places = [[Shard(0)], [Replicate()], [Shard(0)], None]

def groups(values):
    params = [torch.zeros_like(value).requires_grad_() for value in whole]
    grads = list(values)
    for i, (param, place) in enumerate(zip(params, places)):
        if place is not None:
            params[i] = distribute_tensor(param.detach(), mesh, place).requires_grad_()
            grads[i] = distribute_tensor(values[i], mesh, place)
    for param, grad in zip(params, grads):
        param.grad = grad
    return [EXECUTION | {"params": params, "clip_norm": 1.0, "nonfinite": "skip"}]

scaled = compute(groups(whole), None, None)
captured = compute([groups(whole)[0] | {"capturable": True}], None, None)
spoiled = [value.clone() for value in whole]
spoiled[0][0, 0] = float("nan")  # in the shard of the first process
bad = compute(groups(spoiled), None, None)
watched = groups(spoiled)
watched[0]["clip_norm"] = None
alone = compute(watched, None, None)
print(json.dumps({
    "norm": scaled.norm, "scale": scaled.scale, "captured": float(captured.norm),
    "expected": float(torch.cat([value.double().flatten() for value in whole]).norm()),
    "skip": [bad.skip, alone.skip],
}))
dist.destroy_process_group()
"""


@pytest.mark.process
def test_every_process_is_told_the_norm_of_the_whole(tmp_path: Path) -> None:
    store = tmp_path / "store"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), str(PROCESSES), str(store)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(PROCESSES)
    ]
    outputs = [process.communicate(timeout=100)[0] for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES
    first, second = (json.loads(output.splitlines()[-1]) for output in outputs)
    assert first == second
    # 28 squares and sums, each rounded by 2**-53, in another order.
    for norm in (first["norm"], first["captured"]):
        assert abs(norm / first["expected"] - 1) < 28 * 2**-53
    assert first["scale"] == 1 / (first["norm"] + 1e-6)
    assert first["skip"] == [True, True]
