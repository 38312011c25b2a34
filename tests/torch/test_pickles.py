"""A pickled optimizer names its public class, and goes on in another process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from tests.torch.cases import MEMBERS, drive, gradients, parameters, run, same_bits

import mementum

STEPPED = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    optimizers = pickle.load(file)
for optimizer in optimizers:
    assert type(optimizer).__module__ == "mementum", type(optimizer)
    for param in optimizer.param_groups[0]["params"]:
        param.grad = param.detach().clone()
    optimizer.step()
params = [optimizer.param_groups[0]["params"] for optimizer in optimizers]
with open(sys.argv[2], "wb") as file:
    pickle.dump(params, file)
"""


@pytest.mark.process
def test_every_pickled_optimizer_steps_on_in_a_new_process(tmp_path: Path) -> None:
    start = parameters()
    optimizers = [run(member, start, gradients(start, 2))[1] for member in MEMBERS]
    pickled = pickle.dumps(optimizers)
    assert b"mementum.torch" not in pickled
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_bytes(pickled)
    subprocess.run([sys.executable, "-c", STEPPED, before, after], check=True)
    for optimizer, found in zip(
        optimizers, pickle.loads(after.read_bytes()), strict=True
    ):
        params = optimizer.param_groups[0]["params"]
        drive(optimizer, params, [[param.detach().clone() for param in params]])
        assert same_bits([p.detach() for p in params], [p.detach() for p in found])


def test_a_class_is_what_its_public_name_says() -> None:
    for member in MEMBERS:
        assert getattr(mementum, member.__name__) is member
        assert member.__module__ == "mementum"
