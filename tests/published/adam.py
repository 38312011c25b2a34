"""Adam and AdamW.

Kingma, Ba: "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, Algorithm 1.
Loshchilov, Hutter: "Decoupled Weight Decay Regularization", arXiv:1711.05101,
Algorithm 2. Their decay ``lambda`` is not scaled by the learning rate; here it is
``lr * weight_decay``, as in torch, at a schedule multiplier of 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def adam(
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
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        if decoupled_weight_decay:
            x = x - lr * weight_decay * x
        x = x - lr * m_hat / (np.sqrt(v_hat) + eps)
        path.append(x)
    return np.array(path)
