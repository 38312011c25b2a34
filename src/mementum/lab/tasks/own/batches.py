"""Batches of the user's own: as they are before anybody draws, and their digest."""

from __future__ import annotations

import copy
import hashlib
import itertools
import pickle
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, get_args

import numpy as np
import torch
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, Dataset

from mementum.lab.user_code.chance import Own, within
from mementum.lab.user_code.hidden_state import take_in_array

Batch = Any
FIRST = 3
"""How many batches at the start of a run are compared among contenders."""
_MANY = 20_000
"""Objects of batches from which on only the nearest are copied."""
_SHARED = (torch.Tensor, np.ndarray, torch.nn.Module, *get_args(Own))
"""What a copy has in common with its original: data, and sources of chance."""


def anew(batches: Iterable[Batch]) -> Iterable[Batch]:
    """Return the batches as they are before anybody goes through them.

    What samplers, data sets and iterables keep from one round to the next, such as a
    counter of epochs, is a copy's own; arrays and tensors are not copied. Of what has
    many parts, or cannot be copied, only the attributes are.
    """
    if isinstance(batches, list | tuple | torch.Tensor):
        return batches
    parts = [*itertools.islice(within(batches), _MANY)]
    memo = {id(each): each for each in parts if isinstance(each, _SHARED)}
    if len(parts) < _MANY:
        with suppress(Exception):  # open files, locks and the like
            return _copied(batches, memo)
    for each in parts:
        if isinstance(each, Dataset):
            with suppress(Exception):
                memo[id(each)] = copy.copy(each)
    with suppress(Exception):
        return _copied(batches, memo)
    with suppress(Exception):
        return copy.copy(batches)
    return batches


def _copied(batches: Iterable[Batch], memo: dict[int, Any]) -> Iterable[Batch]:
    """Return a copy of batches, but of what the memo has."""
    if not isinstance(batches, DataLoader):
        return copy.deepcopy(batches, memo)
    loader = copy.copy(batches)
    names = "dataset", "sampler", "batch_sampler", "collate_fn"
    own = {name: vars(loader)[name] for name in names}
    vars(loader).update(copy.deepcopy(own, memo), _iterator=None)
    return loader


def there(batch: Batch, device: torch.device) -> Batch:
    """Return a batch with its tensors on a device, and all else as it is."""
    return tree_map(
        lambda each: each.to(device) if hasattr(each, "to") else each, batch
    )


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
    if isinstance(value, torch.Tensor) or (
        isinstance(value, np.ndarray) and not value.dtype.hasobject
    ):
        digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
        take_in_array(digest, value)
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
