"""What users write, for type checkers: `make types` reads it, and a test runs it."""

from __future__ import annotations

from typing import assert_type

import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

import mementum
from mementum.torch import Telemetry

model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
weight = nn.Parameter(torch.zeros(3))

# Every class takes parameters, names, groups, and its hyperparameters by name.
adam = mementum.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.999))
adamw = mementum.AdamW(model.named_parameters(), lr=torch.tensor(1e-3))
amsgrad = mementum.AMSGrad([weight], variant="torch", foreach=True)
adamnc = mementum.AdamNC([{"params": [weight], "lr": 0.1}], momentum=0.9)
adax = mementum.AdaX([weight], state_dtype=torch.bfloat16, clip_norm=1.0)
adaxw = mementum.AdaXW([weight], state_dtype="float8", stochastic_rounding=True)
adamnx = mementum.AdamNX([weight], nonfinite="skip", seed=3)
adamomentum = mementum.AdaMomentum([weight], fused=False, maximize=True)
ratio = mementum.ratio_for_horizon(1_000)
dial = mementum.Mementum([weight], memory=ratio, square_of="residual", peak=True)
assert_type(ratio, float)
assert_type(adam, mementum.Adam)

# They are torch's optimizers.
optimizer: torch.optim.Optimizer = adamw
scheduler = StepLR(adamw, step_size=1)


def loss() -> float:
    """Return a loss, with its gradients taken."""
    value = model(torch.ones(2, 4)).square().mean()
    value.backward()
    return float(value.detach())


adamw.step()
adamw.step(loss)
adamw.zero_grad()
adamw.load_state_dict(adamw.state_dict())

# By name, in groups, in the backward pass, taken over, looked at.
named = mementum.create("adaxw", model, lr=1e-3, weight_decay=0.1)
described: dict[str, str] = mementum.list_optimizers("ada*")
groups = mementum.param_groups(model, 0.1, no_decay=["*.weight"])
grouped = mementum.AdamW(groups)
reading: Telemetry = grouped.telemetry()
words: str = str(grouped.explain())
torchs = torch.optim.AdamW(model.parameters())
report: mementum.convert.Report = mementum.convert.adopt(torchs, adamw, dry_run=True)
