"""An entry of the lab's list: a task in its sizes, and the digest of its data."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch

from mementum.lab.task import Problem, Size, Task, Tier


def entry(
    name: str,
    title: str,
    metric: str,
    *,
    start: Callable[..., Problem],
    data: Callable[[], str],
    sizes: Mapping[Tier, Size],
    limit: float = math.inf,
    scale: Literal["log", "linear"] = "log",
    margin: float = 0.01,
    version: int = 1,
    deterministic: bool = False,
) -> Task:
    """Return a task whose first size is its own.

    Unless told otherwise, seeds differ and scores are compared by their ratio, where
    one per cent is no difference.
    """
    (tier, own), *others = sizes.items()
    return Task(
        name=name,
        version=version,
        title=title,
        metric=metric,
        steps=own.steps,
        evaluations=own.evaluations,
        deterministic=deterministic,
        scale=scale,
        margin=margin,
        limit=limit,
        seconds=own.seconds,
        start=start,
        data=data,
        tier=tier,
        sizes=dict(others),
    )


def digest(*parts: torch.Tensor | np.ndarray | str) -> str:
    """Return the sha256 of tensors and texts, one after another."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            found.update(part.encode())
        else:
            found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()
