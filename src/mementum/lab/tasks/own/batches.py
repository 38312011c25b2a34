"""Batches of the user's own: as they are before anybody draws, and their digest."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mementum.lab.user_code.chance import within

Batch = Any
FIRST = 3
"""How many batches at the start of a run are compared among contenders."""
_SHARED = (torch.Tensor, np.ndarray, torch.Generator, torch.nn.Module, Dataset)
"""What a copy has in common with its original: data, and sources of chance."""


def anew(batches: Iterable[Batch]) -> Iterable[Batch]:
    """Return the batches as they are before anybody goes through them.

    What samplers and iterables keep from one round to the next, such as a counter of
    epochs, is a copy's own; the data are not copied.
    """
    if isinstance(batches, list | tuple | torch.Tensor):
        return batches
    memo = {id(each): each for each in within(batches) if isinstance(each, _SHARED)}
    with suppress(Exception):  # open files and the like cannot be copied
        if not isinstance(batches, DataLoader):
            return copy.deepcopy(batches, memo)
        loader = copy.copy(batches)
        own = {name: vars(loader)[name] for name in ("sampler", "batch_sampler")}
        vars(loader).update(copy.deepcopy(own, memo), _iterator=None)
        return loader
    return batches


class FirstBatches:
    """The digest of the first batches of a run."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._step = 0

    def see(self, step: int, batch: Batch) -> None:
        """Take the batch of a step in, once."""
        if step == self._step < FIRST:
            self._step += 1
            take_in(self._digest, batch)

    def digest(self) -> str:
        """Return the digest, in hex."""
        return self._digest.hexdigest()[:16]


def take_in(digest: Any, value: object) -> None:
    """Take a batch into a digest, part by part."""
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
        dense = value.detach().cpu().to_dense().contiguous()
        # NumPy has no bfloat16: the bytes are read as what they are.
        digest.update(dense.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key, part in value.items():
            digest.update(f"{key}:".encode())
            take_in(digest, part)
    elif isinstance(value, list | tuple):
        digest.update(f"{len(value)}".encode())
        for part in value:
            take_in(digest, part)
    else:
        with suppress(Exception):  # what cannot be pickled is told by its type alone
            digest.update(pickle.dumps(value))
        digest.update(type(value).__qualname__.encode())
