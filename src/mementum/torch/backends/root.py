"""The square root, rounded to the nearest float whatever the processor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sqrt(x: Tensor) -> Tensor:
    """Return the root of each element, correctly rounded.

    On a CPU torch may take its root from a vector library that is an ulp off now
    and then, depending on the processor. NumPy's is the processor's own, which
    IEEE 754 requires to be exact. A tensor that autograd follows keeps torch's.
    """
    if type(x) is not Tensor or x.requires_grad or x.device.type != "cpu":
        return x.sqrt()
    root = torch.empty_like(x)
    np.sqrt(x.numpy(), out=root.numpy())
    return root
