"""What the processes of a pool run together to save, load and compare."""

from __future__ import annotations

from typing import Any

import torch.distributed.checkpoint as dcp
from tests.distributed.models import (
    SETTINGS,
    Model,
    fsdp,
    grads_of,
    model,
    optimizer_of,
)
from tests.distributed.programs import MESHES, bits, drive
from tests.torch.cases import same_bits
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from mementum.torch import FamilyOptimizer

BEFORE, AFTER = 3, 2
State = dict[str, Any]


def begun(name: str, ranks: int, *, seed: int = 0) -> tuple[Model, FamilyOptimizer]:
    """Return a sharded model and its optimizer before the first step."""
    setting = SETTINGS[name]
    own = fsdp(model(setting.dtype, seed=seed), ranks)
    return own, optimizer_of(setting, own)


def straight(name: str, steps: int) -> list[Any]:
    """Return the whole model's parameters and state after steps in one process."""
    setting = SETTINGS[name]
    own = model(setting.dtype)
    optimizer = optimizer_of(setting, own)
    drive(optimizer, list(own.parameters()), grads_of(own, BEFORE + AFTER)[:steps])
    return bits(optimizer, own.parameters())


def everything(own: Model, optimizer: FamilyOptimizer) -> State:
    """Return what a checkpoint holds."""
    return {
        "model": get_model_state_dict(own),
        "optimizer": get_optimizer_state_dict(own, optimizer),
    }


def save(name: str, folder: str, ranks: int) -> bool:
    """Train and save; return whether the steps were those of the whole model."""
    own, optimizer = begun(name, ranks)
    grads = grads_of(model(SETTINGS[name].dtype), BEFORE + AFTER)
    drive(optimizer, list(own.parameters()), grads[:BEFORE])
    group = MESHES[(ranks,)].get_group()
    dcp.save(everything(own, optimizer), checkpoint_id=folder, process_group=group)
    return same_bits(bits(optimizer, own.parameters()), straight(name, BEFORE))


def load(name: str, folder: str, ranks: int, *, flat: bool = False) -> list[str]:
    """Load into a model with other numbers; return what then differs, if anything."""
    own, optimizer = begun(name, ranks, seed=1)
    group = MESHES[(ranks,)].get_group()
    state = everything(own, optimizer)
    dcp.load(state, checkpoint_id=folder, process_group=group)
    set_model_state_dict(own, state["model"])
    set_optimizer_state_dict(own, optimizer, state["optimizer"])
    wrong = []
    params = list(own.parameters())
    if not same_bits(bits(optimizer, params), straight(name, BEFORE)):
        wrong.append("loaded")
    grads = grads_of(model(SETTINGS[name].dtype), BEFORE + AFTER)
    drive(optimizer, params, grads[BEFORE:])
    if not same_bits(bits(optimizer, params), straight(name, BEFORE + AFTER)):
        wrong.append("continued")
    return wrong
