"""Libraries that are tried where they are installed: Keras, PEFT and skorch.

Each runs in a process of its own: Keras reads its backend once, from the environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.trainers import pages

pytestmark = pytest.mark.process

LOADER = """
import torch
torch.manual_seed(0)
rows = torch.randn(32, 8), torch.randint(4, (32,))
loader = [rows] * 8
"""

MODEL = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
    )
)
frozen = [param.detach().clone() for param in model.parameters()]
"""

ROWS = """
import numpy
import torch
model = torch.nn.Sequential(torch.nn.Linear(8, 3))
inputs = numpy.random.default_rng(0).normal(size=(40, 8)).astype("float32")
classes = (inputs[:, 0] > 0).astype("int64")
"""

KERAS = """
telemetry = optimizer.telemetry().flat()
assert telemetry["overall/steps"] == 8
assert [len(group["params"]) for group in optimizer.param_groups] == [2, 4]
again = keras.saving.load_model("model.keras")
assert torch.equal(again(rows[0]), model(rows[0]))
try:
    model.compile(optimizer=optimizer)
except ValueError as error:
    assert "Could not interpret optimizer" in str(error)
else:
    raise AssertionError("Keras takes it now: the page says otherwise")
"""

PEFT = """
tokens = torch.arange(3, 11)[None]
[group] = optimizer.param_groups
assert all("lora_" in name for name in group["param_names"])
before = [param.detach().clone() for param in group["params"]]
for _ in range(2):
    model(input_ids=tokens, labels=tokens).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
assert not any(map(torch.equal, before, group["params"]))
kept = [p for n, p in model.named_parameters() if "lora_" not in n]
assert all(map(torch.equal, frozen, kept))
"""

SKORCH = """
[group] = net.optimizer_.param_groups
assert type(net.optimizer_) is AdaXW
assert group["lr"] == 5e-3
assert group["state_dtype"] == "bfloat16"
net.set_params(optimizer__lr=1e-3)
assert group["lr"] == 1e-3
"""


@pytest.mark.parametrize(
    ("library", "page", "before", "after"),
    [
        ("keras", "keras.md", LOADER, KERAS),
        ("peft", "lora.md", MODEL, PEFT),
        ("skorch", "skorch.md", ROWS, SKORCH),
    ],
    ids=["keras", "peft", "skorch"],
)
def test_the_page_runs(
    library: str, page: str, before: str, after: str, tmp_path: Path
) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    source = f"{before}\n{pages.program(f'trainers/{page}')}\n{after}"
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
