"""Gradients to test optimizers with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def heavy_tailed(steps: int, elements: int, *, seed: int) -> Array:
    """Return gradients of shape (steps, elements) whose scales span five decades.

    The scale of the elements runs from 1e-4 to 10, evenly in its logarithm. Each
    element follows Student's t with 2 degrees of freedom, whose variance is infinite.
    """
    scales = np.logspace(-4, 1, elements)
    generator = np.random.default_rng(seed)
    return generator.standard_t(2, size=(steps, elements)) * scales
