"""Steps and optimizers leave no memory behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.native import kernel

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not Path("/proc/self/statm").exists(), reason="no account of memory here"
    ),
]

PREPARE = """
    import gc, json
    from pathlib import Path
    import torch
    from mementum.torch import MEMBERS, AMSGrad
    torch.set_num_threads(2)

    def resident():
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    def params():
        made = [torch.nn.Parameter(torch.ones(n)) for n in (1_000, 1)]
        made.append(torch.nn.Parameter(torch.ones(40, 30).t()))
        made.append(torch.nn.Parameter(torch.ones(30).to(torch.bfloat16)))
        return made

    def give(all):
        for p in all:
            p.grad = torch.ones_like(p)
"""


@pytest.mark.parametrize("flags", ["", "foreach=False"], ids=["fastest", "loop"])
def test_ten_thousand_steps_leave_nothing_behind(flags: str) -> None:
    script = (
        PREPARE
        + f"""
    own = params()
    optimizer = AMSGrad(own, {flags})
    def run(steps):
        for _ in range(steps):
            give(own)
            optimizer.step()
    run(1_000)
    before = resident()
    run(10_000)
    print(json.dumps(resident() - before))
    """
    )
    assert abs(json.loads(kernel.output_of(script, timeout=300))) <= 1  # MiB


def test_a_thousand_optimizers_leave_nothing_behind() -> None:
    script = (
        PREPARE
        + """
    def run(count):
        for i in range(count):
            own = params()
            # Strides that no parameter had before, as far as memory is concerned.
            own.append(torch.nn.Parameter(torch.ones(3, 5 + i % 700)[:, ::2]))
            optimizer = MEMBERS[i % len(MEMBERS)](own)
            give(own)
            optimizer.step()
    run(1_000)
    before = resident()
    run(1_000)
    print(json.dumps(resident() - before))
    """
    )
    assert abs(json.loads(kernel.output_of(script, timeout=300))) <= 1  # MiB
