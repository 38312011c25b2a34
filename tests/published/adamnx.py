"""AdamNX.

Zhu, Xiao, Min: arXiv:2511.13465, as the authors' program has it: both moments are
kept corrected by decays that depend on the step, and the weight decay is decoupled.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def adamnx(
    gradients: Array,
    x: Array,
    lr: float,
    *,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled_weight_decay: bool,
) -> Array:
    beta1, beta2 = betas
    m = np.zeros_like(x)
    v = np.zeros_like(x)
    path = []
    for t, g in enumerate(gradients, start=1):
        if not decoupled_weight_decay:
            g = g + weight_decay * x
        if decoupled_weight_decay:
            x = x * (1 - lr * weight_decay)
        a = (beta1 - beta1**t) / (1 - beta1**t)
        m = a * m + (1 - a) * g
        b = (1 - beta2 ** ((1 - beta2) * (t - 1))) / (1 - beta2 ** ((1 - beta2) * t))
        v = b * v + (1 - b) * g**2
        x = x - lr * m / (np.sqrt(v) + eps)
        path.append(x)
    return np.array(path)
