"""The step that `torch.distributed.checkpoint` takes to have an optimizer's state made.

To learn what a state holds, it gives each parameter a gradient of zeros, sets lr to
zero and calls `step`. Counted as a step, it would shift every later weight of the
averages: asking for a state dict before the first step would change the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mementum.torch.state import sharding


def is_one(groups: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a first step can teach nothing: each lr and each gradient is zero.

    Asked only where lr is zero. Processes that share parameters agree on the answer.
    """
    if not all(_is_zero(group["lr"]) for group in groups):
        return False
    params = [p for group in groups for p in group["params"] if p.grad is not None]
    if not params:
        return False
    found = [bool(sharding.local_grad(param).any()) for param in params]
    return not any(sharding.anywhere(found, params))


def _is_zero(lr: Any) -> bool:
    """Whether a learning rate is zero; in a capture it cannot be read."""
    if not isinstance(lr, Tensor) or not lr.is_cuda:
        return bool(lr == 0)
    return not torch.cuda.is_current_stream_capturing() and bool(lr == 0)
