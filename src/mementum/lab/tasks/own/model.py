"""A model of the user's own: made ready, and looked through for what it hides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch.nn.parameter import is_lazy

from mementum.lab.tasks.own.batches import take_in
from mementum.lab.user_code.chance import within


def initialise(model: torch.nn.Module, forward: Callable[[], object]) -> None:
    """Let lazy layers take their shapes from a batch that goes through the model."""
    if any(map(is_lazy, [*model.parameters(), *model.buffers()])):
        model.eval()
        with torch.no_grad():
            forward()


def hidden_state(model: torch.nn.Module, *others: object) -> str:
    """Return the digest of what changes in training, and is in no state dict.

    That is: numbers and words in attributes of modules and in what these refer to,
    and tensors there that are neither parameters nor buffers.
    """
    digest = hashlib.sha256()
    known = {id(each) for each in (*model.parameters(), *model.buffers())}
    for each in within(model, *others):
        if isinstance(each, bool | int | float | str | bytes):
            digest.update(repr(each).encode())
        elif isinstance(each, torch.Tensor) and id(each) not in known:
            take_in(digest, each)
    return digest.hexdigest()
