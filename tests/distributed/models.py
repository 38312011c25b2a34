"""A small model, whole or spread over processes, and what its optimizer is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from tests.distributed.programs import MESHES
from tests.torch.cases import Grads, Member, Options, gradients
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from mementum.torch import AdaX, AMSGrad, FamilyOptimizer, Mementum


class Setting(NamedTuple):
    """An optimizer, with all that decides its numbers."""

    member: Member
    options: Options
    dtype: torch.dtype = torch.float32


# A peak and coupled decay; each format of the moments; parameters rounded with noise.
SETTINGS: dict[str, Setting] = {
    "AMSGrad": Setting(AMSGrad, {"weight_decay": 0.1}),
    "AdaX bfloat16": Setting(AdaX, {"state_dtype": "bfloat16"}),
    "Mementum float8": Setting(
        Mementum,
        {"state_dtype": "float8", "peak": True, "stochastic_rounding": True},
        torch.bfloat16,
    ),
}


class Model(nn.Module):
    """Layers whose rows do not divide among processes, and one with fewer than them."""

    def __init__(self) -> None:
        super().__init__()
        self.few = nn.Linear(300, 2, bias=False)
        self.wide = nn.Linear(300, 17)
        self.norm = nn.LayerNorm(17)
        self.out = nn.Linear(17, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.out(torch.tanh(self.norm(self.wide(x))))
        return hidden.square().mean() + self.few(x).square().mean()


def model(dtype: torch.dtype, *, seed: int = 0) -> Model:
    """Return the model with the same numbers in every process."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Model().to(dtype)


def fsdp(own: Model, ranks: int) -> Model:
    """Shard a model over processes, layer by layer."""
    mesh = MESHES[(ranks,)]
    for layer in (own.few, own.wide, own.norm, own.out):
        fully_shard(layer, mesh=mesh)
    fully_shard(own, mesh=mesh)
    return own


def optimizer_of(setting: Setting, own: nn.Module, **more: Any) -> FamilyOptimizer:
    """Return a setting's optimizer of a model's named parameters."""
    named: Any = own.named_parameters()
    make: Callable[..., FamilyOptimizer] = setting.member
    return make(named, **setting.options, **more)


def grads_of(own: nn.Module, steps: int) -> list[Grads]:
    """Return gradients for a whole model, the same in every process."""
    params: Sequence[Tensor] = list(own.parameters())
    return gradients(params, steps)
